"""A small collection in memory, what is stored beside it, and what an import of files stores."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nudge_sync.connector import Database, Record
from nudge_sync.feedback.embedding.embedder import Embedder
from nudge_sync.feedback.embedding.rows import embed_source
from nudge_sync.feedback.ingest.formats import open_source
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.qrels import open_beir_texts
from nudge_sync.feedback.ingest.report import ImportReport
from nudge_sync.feedback.log.columns import Log
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.feedback_files import DIMENSION

TRIAL_DIMENSION, TRIAL_POINTS = 8, 40


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


@dataclass(frozen=True)
class Trial:
    """What an import reported and stored."""

    report: ImportReport
    searches: dict[str, tuple[str, list[Any]]]
    """Query id -> text and the ids shown."""
    events: list[tuple[Any, ...]]
    """Sorted: query id, action, point, position, grade, time."""


def embed_texts(texts: list[str]) -> np.ndarray:
    """Return a vector for each text, (n, 8), the same for the same text."""
    digests = [
        hashlib.blake2b(text.encode(), digest_size=TRIAL_DIMENSION).digest() for text in texts
    ]
    return np.array([np.frombuffer(digest, np.uint8) + 1.0 for digest in digests])


def create_destination(*, integer_ids: bool = True) -> Destination:
    """Return a collection with the points 0 to 39, or "doc0" to "doc39", without feedback."""
    database = MemoryDatabase()
    database.store.create("docs", TRIAL_DIMENSION, integer_ids=integer_ids)
    ids: list[Any] = [row if integer_ids else f"doc{row}" for row in range(TRIAL_POINTS)]
    database.store.upsert(
        "docs", ids, np.eye(TRIAL_POINTS, TRIAL_DIMENSION, dtype=np.float32) + 0.1
    )
    return Destination(
        database.records("docs__nudge_queries", TRIAL_DIMENSION),
        database.records("docs__nudge_events"),
        database.collection("docs"),
    )


def try_import(
    *paths: Path, destination: Destination | None = None, embeds: bool = True, **options: Any
) -> Trial:
    """Import files, or a folder of a data set, and return what is stored then."""
    destination = destination or create_destination()
    sources = [open_beir_texts(path) if path.is_dir() else open_source(path) for path in paths]
    if embeds:
        embedder = Embedder("embed_texts", embed_texts)
        sources = [embed_source(source, embedder) for source in sources]
    report = import_rows(sources, destination, actions=FeedbackSettings().actions, **options)
    return read_trial(report, destination)


def read_trial(report: ImportReport, destination: Destination) -> Trial:
    """Return what is stored, with the report of the import that stored it."""
    searches = [record.document for batch in destination.queries.scan() for record in batch]
    events = [record.document for batch in destination.events.scan() for record in batch]
    names = ("query_id", "action_name", "object_id", "position", "grade", "timestamp")
    return Trial(
        report,
        {search["query_id"]: (search["text"], search["shown"]) for search in searches},
        sorted((tuple(event[name] for name in names) for event in events), key=str),
    )


def list_columns(log: Log) -> tuple[Any, ...]:
    """Return all that a log holds, so that two are equal if they are bit for bit."""
    parts = (log.searches, log.behaviour, log.labels)
    arrays = [
        getattr(part, name) for part in parts for name in part.__slots__ if name != "query_ids"
    ]
    names = [list(some) for some in (log.searches.query_ids, log.session_ids, log.client_ids)]
    return (
        [None if array is None else array.tobytes() for array in (*arrays, log.query_vectors)],
        names,
        log.point_ids,
        log.unreadable_records,
        log.former_searches,
        dict(log.action_counts),
        log.unweighted_events,
    )
