"""What the tests of the wrapped retrievers share: a query, databases, and stored clicks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from pymilvus import MilvusClient

import nudge_sync_milvus
import nudge_sync_qdrant
from nudge_sync.connector import Database
from nudge_sync.errors import Unreachable
from nudge_sync.feedback.judgements import read_judgements
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.store.target import open_target
from nudge_sync.tuning.query_adapter import QueryAdapter
from tests.support.applications import empty_milvus, empty_qdrant
from tests.support.experiments.sample_experiment import start_canary, turn_vectors
from tests.support.feedback_store import read_stored_feedback
from tests.support.text_embeddings import DIMENSION, embed_text

QUERY = "swept wings"


STORE_ENGINES = (
    "qdrant-local",
    "qdrant",
    "milvus-lite",
    pytest.param("milvus", marks=pytest.mark.milvus_server),
)
"""Engines of the vector stores that applications wrap."""


def fail_to_connect() -> NoReturn:
    raise Unreachable


def make_adapter() -> QueryAdapter:
    """Turn queries so far that they find something else."""
    offset = 3 * np.array(embed_text("straight wings at d"), np.float32)
    return QueryAdapter(np.eye(DIMENSION, dtype=np.float32), offset)


def open_store_database(engine: str, folder: Path, server: Any) -> Any:
    """Open a database that holds no collection "docs" yet."""
    if engine in {"qdrant", "qdrant-local"}:
        database = nudge_sync_qdrant.connect(server or {"location": ":memory:"})
        empty_qdrant(database.connection.client)
        return database
    uri = get_store_uri(folder, server)
    client = MilvusClient(uri, dedicated=True)
    empty_milvus(client)
    client.close()
    return nudge_sync_milvus.connect({"uri": uri})


def get_store_uri(folder: Path, server: str) -> str:
    """Return the address of the Milvus server, or of Milvus Lite in this folder."""
    return server or str(folder / "milvus.db")


def start_text_canary(database: Database, ids: Sequence[Any]) -> list[Any]:
    """Start a canary in which the first four texts stand elsewhere, with everybody in it.

    Returns the ids that QUERY finds in its arm, best first.
    """
    target = open_target(database, "docs")
    points = target.collection.read(ids)
    turned = turn_vectors(points.vectors[:4], angle=1.2)
    start_canary(target, points.ids[:4], turned)
    vectors = np.concatenate([turned, points.vectors[4:]])
    return [ids[row] for row in np.argsort(-(vectors @ np.array(embed_text(QUERY), np.float32)))]


def check_logged_judgement(
    database: Database, shown: Sequence[Any], chosen: Any, known_ids: Collection[Any]
) -> None:
    """Check that one search of s1 and c1 for QUERY is stored, with `chosen` as its only answer."""
    [search], _ = read_stored_feedback(database)
    assert search.document["shown"] == list(shown)
    assert set(shown) <= set(known_ids)
    stored = {name: search.document[name] for name in ("text", "session_id", "client_id")}
    assert stored == {"text": QUERY, "session_id": "s1", "client_id": "c1"}
    target = open_target(database, "docs")
    judgements = read_judgements(target.queries, target.events, FeedbackSettings(), DIMENSION)
    assert judgements.point_ids == [chosen]
    assert judgements.query_vectors[0] == pytest.approx(embed_text(QUERY), abs=1e-6)
