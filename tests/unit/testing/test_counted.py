"""The counting wrapper counts, and is otherwise the database it wraps."""

from __future__ import annotations

from nudge_sync.connector import Collection, Database, Points, Record
from nudge_sync.testing.counted import Counted
from nudge_sync.testing.engine import unit_rows
from nudge_sync.testing.memory import MemoryDatabase


def test_what_is_counted():
    database = Counted(MemoryDatabase())
    database.inner.store.create("docs", 24)
    database.inner.store.upsert("docs", range(10), unit_rows(10, seed=0))
    assert isinstance(database, Database)
    collection = database.collection("docs")
    assert isinstance(collection, Collection)
    live = collection.read([1, 2, 3])
    collection.write(Points([3, 4], unit_rows(2, seed=1)), live.vectors[[2, 2]])
    assert (len(database.counts.read), len(database.counts.written)) == (3, 2)
    assert database.counts.touched == 4
    assert database.counts.scanned == 0
    assert sum(len(batch) for batch in collection.scan(3)) == database.counts.scanned == 10
    collection.search(unit_rows(7, seed=2), 3)
    assert database.counts.searched == 7
    assert collection.health().ready
    assert database.counts.calls["search"] == 1
    records = database.records("r")
    records.put([Record("a", {})])
    assert records.count() == 1
    assert database.describe().product == "memory"
    database.close()
