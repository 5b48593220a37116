"""No wrapper hides a promise of what it wraps, so that no test leaves out a path unnoticed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nudge_sync.connector import (
    Database,
    DocumentReader,
    GuardedDatabase,
    Record,
    ReplicatedDatabase,
    Replication,
    ServingCollection,
)
from nudge_sync.testing.counted import Counted
from nudge_sync.testing.faults import Crash, Faults, FaultyDatabase
from nudge_sync.testing.memory import MemoryDatabase

THREE = Replication(factor=3, replicas=3, active=3)


class FullDatabase(MemoryDatabase):
    """A database that keeps every optional promise."""

    def missing_rights(self, collection: str, companions: Sequence[str]) -> list[str]:
        return [f"{collection} {companions}"]


@pytest.fixture
def database() -> FullDatabase:
    database = FullDatabase()
    database.store.create("docs", 3)
    database.store.upsert("docs", [1, 2], np.eye(3, dtype=np.float32)[:2], [{"a": 1}, {"a": 2}])
    database.store.replications["docs"] = Replication(factor=2, replicas=2, active=2)
    database.store.nodes = 3
    return database


@pytest.fixture(params=["faulty", "counted"])
def wrapped(request, database) -> Counted | FaultyDatabase:
    return Counted(database) if request.param == "counted" else FaultyDatabase(database, Faults())


@pytest.mark.parametrize("promise", [Database, DocumentReader, GuardedDatabase, ReplicatedDatabase])
def test_a_wrapper_promises_what_the_database_does(wrapped, database, promise):
    assert isinstance(database, promise)
    assert isinstance(wrapped, promise)


def test_optional_calls_come_to_the_database(wrapped, database):
    assert wrapped.missing_rights("docs", ["a"]) == ["docs ['a']"]
    assert wrapped.replication("docs") == database.store.replications["docs"]
    assert wrapped.replicate("docs", THREE) == ['"docs" is copied to 1 more nodes']
    documents = [record.document for batch in wrapped.documents("docs") for record in batch]
    assert documents == [{"a": 1}, {"a": 2}]
    wrapped.records_beside("docs", "r").put([Record("a", {})])
    assert wrapped.replication("r").factor == 3


def test_a_collection_serves_searches(wrapped):
    collection = wrapped.collection("docs")
    assert isinstance(collection, ServingCollection)
    query = np.array([0.5, 1, 0], np.float32)
    assert collection.serve_search(query, 2).ids == [[2, 1]]
    assert collection.serve_search(query, 2, {"a": 1}).ids == [[1]]
    assert collection.select_ids([1, 7]) == [1]


def test_what_serves_searches_is_counted(database):
    counted = Counted(database)
    collection = counted.collection("docs")
    collection.serve_search(np.ones(3, np.float32), 2)
    collection.select_ids([1, 7])
    assert (counted.counts.searched, counted.counts.read) == (1, {1, 7})
    assert counted.counts.calls == {"serve_search": 1, "select_ids": 1}


@pytest.mark.parametrize("method", ["serve_search", "select_ids"])
def test_what_serves_searches_may_go_wrong(database, method):
    faults = Faults(1, only=frozenset({method}))
    collection = FaultyDatabase(database, faults).collection("docs")
    with pytest.raises(Crash):
        getattr(collection, method)(np.ones(3, np.float32), 2)
    assert faults.calls == [f"docs.{method}"]
