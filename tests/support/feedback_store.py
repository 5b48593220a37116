"""A small collection in memory, and the feedback that is stored beside a collection."""

from __future__ import annotations

from typing import Any

import numpy as np

from nudge_sync.connector import Database, Record
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.feedback_files import DIMENSION


def create_docs_database() -> MemoryDatabase:
    """Return a database with the collection `docs`: the points 0 to 3, along the axes."""
    database = MemoryDatabase()
    database.store.create("docs", DIMENSION)
    database.store.upsert("docs", list(range(DIMENSION)), np.eye(DIMENSION, dtype=np.float32))
    return database


def read_stored_feedback(
    database: Database, collection: str = "docs", vector: str = ""
) -> tuple[list[Record], list[dict[str, Any]]]:
    """Return the records of all searches, and the documents of all events."""
    target = open_target(database, collection, vector)
    searches = [record for batch in target.queries.scan() for record in batch]
    events = [record.document for batch in target.events.scan() for record in batch]
    return searches, events
