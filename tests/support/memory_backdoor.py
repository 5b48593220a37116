"""The database in memory, for the conformance kit."""

from __future__ import annotations

import json

from nudge_sync.connector import Metric
from nudge_sync.testing.engine import Engine, unit_rows
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore


class MemoryBackdoor:
    """See `Backdoor`. It is the store itself."""

    def __init__(self, store: MemoryStore, *, rescales: bool = False) -> None:
        self.store = store
        self.rescales = rescales

    def create(self, name: str, dimension: int, metric: Metric, *, integer_ids: bool) -> None:
        self.store.create(
            name,
            dimension,
            metric,
            integer_ids=integer_ids,
            rescales=self.rescales and metric == "cosine",
            others={"other": 5},
            replicas=2,
        )

    def upsert(self, name, ids, vectors):
        self.store.upsert(name, ids, vectors, [{"page": str(i), "tags": [1, None]} for i in ids])
        self.store.upsert(name, ids, unit_rows(len(ids), seed=99, dimension=5), vector="other")

    def delete(self, name, ids):
        self.store.delete(name, ids)

    def read(self, name, ids):
        table = self.store.find(name).tables[""]
        return {i: table.matrix[table.row[i]].copy() for i in ids if i in table.row}

    def rest(self, name, ids):
        stored = self.store.find(name)
        other = stored.tables["other"]
        return {
            i: (json.dumps(stored.payloads[i]), other.matrix[other.row[i]].tobytes())
            for i in ids
            if i in other.row
        }

    def count(self, name):
        return len(self.store.find(name).payloads)

    def drop(self, name):
        self.store.collections.pop(name, None)


def make_memory_engine(database: MemoryDatabase, *, rescales: bool = False) -> Engine:
    store = database.store
    return Engine(
        database,
        MemoryBackdoor(store, rescales=rescales),
        reopen=lambda: type(database)(store),
        foreign_ids=["7", "x"],
        alias=store.aliases.__setitem__,
    )
