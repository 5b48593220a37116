"""A database in this process that keeps every promise of the contract; for tests.

`MemoryStore` is the server: it outlives every `MemoryDatabase` that is connected to it, and its
methods are the backdoor. One lock makes each write one step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nudge_sync.connector import (
    CollectionFacts,
    DatabaseFacts,
    Float32,
    Health,
    Hits,
    PointId,
    Points,
    Record,
    Replication,
    Where,
    WriteReport,
    check_queries,
    check_write,
    is_match,
    is_same_vector,
)
from nudge_sync.errors import InputError, UnsupportedCollection, WriteNotVerified
from nudge_sync.testing.memory_records import MemoryRecords
from nudge_sync.testing.store import MemoryStore, VectorTable

__all__ = ["MemoryCollection", "MemoryDatabase", "MemoryRecords", "MemoryStore"]


class MemoryDatabase:
    """See `nudge_sync.connector.Database`. Nothing of it leaves the process."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()

    def describe(self) -> DatabaseFacts:
        """See `Database.describe`."""
        return DatabaseFacts(product="memory", version="1", atomic_swap=True)

    def collection(self, name: str, vector: str = "") -> MemoryCollection:
        """See `Database.collection`."""
        tables = self.store.find(name).tables
        if vector not in tables:
            known = ", ".join(repr(each) for each in sorted(tables))
            raise UnsupportedCollection(f'"{name}" has no vector "{vector}"; it has: {known}')
        return MemoryCollection(self.store, name, vector)

    def records(self, name: str, dimension: int = 0, indexed: Sequence[str] = ()) -> MemoryRecords:  # noqa: ARG002
        """See `Database.records`."""
        return MemoryRecords(self.store, name, dimension)

    def records_beside(
        self,
        collection: str,
        name: str,
        dimension: int = 0,
        indexed: Sequence[str] = (),  # noqa: ARG002
    ) -> MemoryRecords:
        """See `ReplicatedDatabase.records_beside`."""
        return MemoryRecords(self.store, name, dimension, collection)

    def replication(self, name: str, beside: str = "") -> Replication | None:
        """See `ReplicatedDatabase.replication`."""
        name = self.store.aliases.get(name, name)
        is_there = name in self.store.records or name in self.store.collections
        return self.store.replications.get(name if is_there else beside)

    def replicate(self, name: str, wanted: Replication) -> list[str]:
        """See `ReplicatedDatabase.replicate`."""
        current = self.replication(name)
        if current is None or current.active >= wanted.factor:
            return []
        if wanted.factor > self.store.nodes:
            raise UnsupportedCollection(
                f'"{name}" cannot have {wanted.factor} copies on {self.store.nodes} nodes'
            )
        self.store.replications[name] = replace(
            wanted, replicas=wanted.factor, active=wanted.factor, shards=current.shards
        )
        return [f'"{name}" is copied to {wanted.factor - current.active} more nodes']

    def size(self, name: str) -> int:
        """See `SizedDatabase.size`."""
        with self.store.lock:
            return len(self.store.records.get(name, ()))

    def documents(
        self, name: str, vector: str | None = None, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `DocumentReader.documents`."""
        with self.store.lock:
            stored = self.store.find(name)
            table = None if vector is None else stored.tables.get(vector)
            records = [
                Record(str(id_), dict(payload), _copy_vector(table, id_))
                for id_, payload in stored.payloads.items()
            ]
        for start in range(0, len(records), batch_size):
            yield records[start : start + batch_size]

    def close(self) -> None:
        """See `Database.close`."""


def _copy_vector(table: VectorTable | None, point_id: PointId) -> Float32 | None:
    known = table is not None and point_id in table.row
    return table.matrix[table.row[point_id]].copy() if table is not None and known else None


class MemoryCollection:
    """See `nudge_sync.connector.Collection`.

    `write` has no window: under the store's lock it is one step.
    """

    def __init__(self, store: MemoryStore, name: str, vector: str) -> None:
        self._store = store
        self._name = name
        self._vector = vector

    def describe(self) -> CollectionFacts:
        """See `Collection.describe`."""
        stored = self._store.find(self._name)
        table = stored.tables[self._vector]
        return CollectionFacts(
            name=self._name,
            collection=self._store.aliases.get(self._name, self._name),
            vector=self._vector,
            dimension=table.dimension,
            metric=table.metric,
            integer_ids=stored.integer_ids,
            points=len(stored.payloads),
            precision="float32",
            rescales=table.rescales,
            exact_search=True,
        )

    def read(self, ids: Sequence[PointId]) -> Points:
        """See `Collection.read`."""
        return self._read(ids)

    def scan(self, batch_size: int = 1000) -> Iterator[Points]:
        """See `Collection.scan`."""
        with self._store.lock:
            ids = list(self._table().ids)
        for start in range(0, len(ids), batch_size):
            yield self.read(ids[start : start + batch_size])

    def search(self, queries: Float32, k: int, *, exact: bool = False) -> Hits:  # noqa: ARG002
        """See `Collection.search`."""
        hits = Hits([], [])
        with self._store.lock:
            table = self._table()
            check_queries(queries, table.dimension)
            for query in queries:
                scores = _scores(table, query)
                best = np.argsort(-scores, kind="stable")[: max(k, 0)]
                hits.ids.append([table.ids[row] for row in best])
                hits.scores.append(scores[best].astype(np.float32))
        return hits

    def serve_search(self, query: Float32, k: int, filter_: Where | None = None) -> Hits:
        """See `ServingCollection.serve_search`; a filter is a `Where` of the payload."""
        with self._store.lock:
            hits = self.search(query[None], len(self._table().ids))
            admitted = set(self.select_ids(hits.ids[0], filter_))
        rows = [row for row, id_ in enumerate(hits.ids[0]) if id_ in admitted][: max(k, 0)]
        return Hits([[hits.ids[0][row] for row in rows]], [hits.scores[0][rows]])

    def select_ids(self, ids: Sequence[PointId], filter_: Where | None = None) -> list[PointId]:
        """See `ServingCollection.select_ids`; a filter is a `Where` of the payload."""
        if not isinstance(filter_, Mapping | None):
            raise InputError("a filter is an object: field -> value")
        with self._store.lock:
            payloads = self._store.find(self._name).payloads
            present_ids = self._read(ids).ids
            return [id_ for id_ in present_ids if is_match(payloads[id_] or {}, filter_ or {})]

    def read_payloads(
        self, ids: Sequence[PointId], fields: Sequence[str]
    ) -> dict[PointId, Mapping[str, Any]]:
        """See `PayloadReader.read_payloads`."""
        with self._store.lock:
            payloads = self._store.find(self._name).payloads
            present_ids = self._read(ids).ids
            return {
                id_: {
                    name: value for name, value in (payloads[id_] or {}).items() if name in fields
                }
                for id_ in present_ids
            }

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """See `Collection.write`."""
        points, expected = self._check(points, expected)
        report = WriteReport()
        with self._store.lock:
            table = self._table()
            live = self._read(points.ids)
            row_by_id = {point_id: row for row, point_id in enumerate(points.ids)}
            rows = [row_by_id[point_id] for point_id in live.ids]
            new = points.vectors[rows]
            is_written = is_same_vector(live.vectors, new, rescales=table.rescales)
            is_pending = is_same_vector(live.vectors, expected[rows], rescales=table.rescales)
            for row, point_id in enumerate(live.ids):
                if is_pending[row] and not is_written[row]:
                    table.set(point_id, new[row])
                outcome = report.written if is_written[row] or is_pending[row] else report.drifted
                outcome.append(point_id)
            present_ids = set(live.ids)
            report.missing.extend(i for i in points.ids if i not in present_ids)
            self._verify(points, report.written)
        return report

    def health(self) -> Health:
        """See `Collection.health`."""
        self._table()
        return self._store.health

    def _read(self, ids: Sequence[PointId]) -> Points:
        with self._store.lock:
            table, id_type = self._table(), self._id_type()
            present_ids = [i for i in ids if type(i) is id_type and i in table.row]
            return Points(present_ids, table.matrix[[table.row[i] for i in present_ids]])

    def _verify(self, points: Points, written: Sequence[PointId]) -> None:
        row_by_id = {point_id: row for row, point_id in enumerate(points.ids)}
        new = points.vectors[[row_by_id[point_id] for point_id in written]]
        live = self._read(written).vectors
        is_written = is_same_vector(live, new, rescales=self._table().rescales)
        for point_id, is_same in zip(written, is_written, strict=True):
            if not is_same:
                raise WriteNotVerified(f"point {point_id}: read back differs from what was written")

    def _check(self, points: Points, expected: Float32) -> tuple[Points, Float32]:
        return check_write(points, expected, self._table().dimension)

    def _table(self) -> VectorTable:
        return self._store.find(self._name).tables[self._vector]

    def _id_type(self) -> type:
        return int if self._store.find(self._name).integer_ids else str


def _scores(table: VectorTable, query: Float32) -> Float32:
    if table.metric == "euclid":
        negated_distances: Float32 = -np.linalg.norm(table.vectors - query, axis=1)
        return negated_distances
    scores: Float32 = table.vectors @ query
    if table.metric == "dot":
        return scores
    lengths = np.linalg.norm(table.vectors, axis=1) * np.linalg.norm(query)
    cosines: Float32 = np.divide(scores, lengths, out=np.zeros_like(scores), where=lengths > 0)
    return cosines
