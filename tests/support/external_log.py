"""Searches and clicks that an application logs in collections of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

import nudge_sync_milvus
import nudge_sync_qdrant
import nudge_sync_qdrant_edge
from nudge_sync.settings.feedback import EventLog, FeedbackSettings, SearchLog
from tests.support.applications import MemoryApplication
from tests.support.sample_collection import QUERIES, SampleCollection

SEARCH_LOG = SearchLog(
    collection="search_log",
    query_id="qid",
    text="q",
    time="ts",
    shown="hits",
    session="who.session",
    client="who.client",
)

EVENT_LOG = EventLog(
    collection="click_log", query_id="qid", point="doc", action="kind", position="rank", time="at"
)

MAPPED_FEEDBACK = FeedbackSettings(searches=SEARCH_LOG, events=EVENT_LOG)


def make_search_rows(sample_collection: SampleCollection, rows: range) -> list[dict[str, Any]]:
    return [
        {
            "qid": f"q{row}",
            "q": f"question {row}",
            "ts": 1_700_000_000 + row,
            "hits": [399, sample_collection.data.answers[row], 398],
            "who": {"session": f"s{row}", "client": f"c{row % 50}"},
        }
        for row in rows
    ]


def make_event_rows(sample_collection: SampleCollection, rows: range) -> list[dict[str, Any]]:
    return [
        {
            "qid": f"q{row}",
            "doc": str(sample_collection.data.answers[row]),
            "kind": "click" if row % 2 else "relevant",
            "rank": 2,
            "at": "2023-11-14T22:13:20Z",
        }
        for row in rows
    ]


def fill_log(
    sample_collection: SampleCollection, name: str, vectors: Any, payloads: list[dict[str, Any]]
) -> None:
    """Store points in a collection of the application's own, as it would itself."""
    ids = [1000 + row for row in range(len(payloads))]
    if sample_collection.engine == "memory":
        assert isinstance(sample_collection.application, MemoryApplication)
        sample_collection.application.store.create(name, vectors.shape[1])
        sample_collection.application.store.upsert(name, ids, vectors, payloads)
        return
    database: Any = sample_collection.database
    connectors = {
        "qdrant-edge": nudge_sync_qdrant_edge,
        "qdrant-local": nudge_sync_qdrant,
        "qdrant": nudge_sync_qdrant,
    }
    # Servers keep what an earlier run left.
    if sample_collection.engine == "qdrant" and database.connection.client.collection_exists(name):
        database.connection.client.delete_collection(name)
    if sample_collection.engine == "milvus":
        database.records(name).drop()
    connectors.get(sample_collection.engine, nudge_sync_milvus).ingest(
        database, name, ids, vectors, payloads
    )


def log_everything(sample_collection: SampleCollection, rows: range = range(QUERIES)) -> None:
    fill_log(
        sample_collection,
        "search_log",
        sample_collection.data.queries[rows],
        make_search_rows(sample_collection, rows),
    )
    fill_log(
        sample_collection,
        "click_log",
        np.ones((len(rows), 2), np.float32),
        make_event_rows(sample_collection, rows),
    )
