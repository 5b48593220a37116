"""A database in this process that keeps every promise of the contract; for tests.

`MemoryStore` is the server: it outlives every `MemoryDatabase` that is connected to it, and its
methods are the backdoor. One lock makes each write one step, so that it has no window.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
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
    Scalar,
    Where,
    WriteReport,
)
from nudge_sync.errors import (
    InputError,
    UnsupportedCollection,
    WriteNotVerified,
)
from nudge_sync.testing.store import MemoryStore, VectorTable

__all__ = ["MemoryCollection", "MemoryDatabase", "MemoryRecords", "MemoryStore"]

_TOLERANCE = 1e-6


class MemoryDatabase:
    """See `nudge_sync.connector.Database`."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()

    def describe(self) -> DatabaseFacts:
        """See `Database`."""
        return DatabaseFacts(product="memory", version="1", atomic_swap=True)

    def collection(self, name: str, vector: str = "") -> MemoryCollection:
        """See `Database`."""
        tables = self.store.find(name).tables
        if vector not in tables:
            known = ", ".join(repr(each) for each in sorted(tables))
            raise UnsupportedCollection(f'"{name}" has no vector "{vector}"; it has: {known}')
        return MemoryCollection(self.store, name, vector)

    def records(
        self,
        name: str,
        dimension: int = 0,
        indexed: Sequence[str] = (),  # noqa: ARG002
    ) -> MemoryRecords:
        """See `Database`."""
        return MemoryRecords(self.store, name, dimension)

    def documents(
        self, name: str, vector: str | None = None, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `DocumentReader`."""
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
        """See `Database`."""


def _copy_vector(table: VectorTable | None, point_id: PointId) -> Float32 | None:
    known = table is not None and point_id in table.row
    return table.matrix[table.row[point_id]].copy() if table is not None and known else None


class MemoryCollection:
    """See `nudge_sync.connector.Collection`. A write is one step: it has no window."""

    def __init__(self, store: MemoryStore, name: str, vector: str) -> None:
        self._store = store
        self._name = name
        self._vector = vector

    def describe(self) -> CollectionFacts:
        """See `Collection`."""
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
        )

    def read(self, ids: Sequence[PointId]) -> Points:
        """See `Collection`."""
        with self._store.lock:
            table, id_type = self._table(), self._id_type()
            present_ids = [i for i in ids if type(i) is id_type and i in table.row]
            return Points(present_ids, table.matrix[[table.row[i] for i in present_ids]])

    def scan(self, batch_size: int = 1000) -> Iterator[Points]:
        """See `Collection`."""
        with self._store.lock:
            ids = list(self._table().ids)
        for start in range(0, len(ids), batch_size):
            yield self.read(ids[start : start + batch_size])

    def search(self, queries: Float32, k: int, *, exact: bool = False) -> Hits:  # noqa: ARG002
        """See `Collection`."""
        hits = Hits([], [])
        with self._store.lock:
            table = self._table()
            for query in queries:
                scores = _scores(table, query)
                best = np.argsort(-scores, kind="stable")[: max(k, 0)]
                hits.ids.append([table.ids[row] for row in best])
                hits.scores.append(scores[best].astype(np.float32))
        return hits

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """See `Collection`."""
        self._check(points, expected)
        report = WriteReport()
        with self._store.lock:
            table = self._table()
            for point_id, new, expected_vector in zip(
                points.ids, points.vectors, expected, strict=True
            ):
                self._write_row(table, point_id, new, expected_vector, report)
        return report

    def health(self) -> Health:
        """See `Collection`."""
        self._table()
        return self._store.health

    def _write_row(
        self,
        table: VectorTable,
        point_id: PointId,
        new: Float32,
        expected: Float32,
        report: WriteReport,
    ) -> None:
        if type(point_id) is not self._id_type() or point_id not in table.row:
            report.missing.append(point_id)
            return
        live = table.matrix[table.row[point_id]]
        if not _is_same_vector(table, live, expected) and not _is_same_vector(table, live, new):
            report.drifted.append(point_id)
            return
        if not _is_same_vector(table, live, new):
            table.set(point_id, new)
        if not _is_same_vector(table, table.matrix[table.row[point_id]], new):
            raise WriteNotVerified(f"point {point_id}: read back differs from what was written")
        report.written.append(point_id)

    def _check(self, points: Points, expected: Float32) -> None:
        shape = (len(points), self._table().dimension)
        if points.vectors.shape != shape or expected.shape != shape:
            raise InputError(f"vectors and expected should be {shape}")
        if not np.isfinite(points.vectors).all():
            raise InputError("a new vector is not finite")

    def _table(self) -> VectorTable:
        return self._store.find(self._name).tables[self._vector]

    def _id_type(self) -> type:
        return int if self._store.find(self._name).integer_ids else str


class MemoryRecords:
    """See `nudge_sync.connector.Records`."""

    def __init__(self, store: MemoryStore, name: str, dimension: int) -> None:
        self._store = store
        self._name = name
        self._dimension = dimension

    def put(self, records: Sequence[Record]) -> None:
        """See `Records`."""
        stored = {item.key: self._stored(item) for item in records}
        with self._store.lock:
            if stored:
                self._store.records.setdefault(self._name, {}).update(stored)

    def swap(self, record: Record, expected: int | None) -> bool:
        """See `Records`."""
        with self._store.lock:
            stored = self.get([record.key], vectors=False)
            if expected is None and stored:
                return False
            if expected is not None and (
                not stored or stored[0].document.get("generation") != expected
            ):
                return False
            self.put([record])
            return True

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """See `Records`."""
        with self._store.lock:
            table = self._records()
            rows = [(key, *table[key]) for key in keys if key in table]
        return [_to_record(key, text, vector, vectors=vectors) for key, text, vector in rows]

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `Records`."""
        with self._store.lock:
            keys = list(self._records())
        matching = [item for item in self.get(keys) if _is_match(item.document, where or {})]
        for start in range(0, len(matching), batch_size):
            part = matching[start : start + batch_size]
            yield part if vectors else [replace(item, vector=None) for item in part]

    def delete(self, keys: Sequence[str]) -> None:
        """See `Records`."""
        with self._store.lock:
            for key in keys:
                self._records().pop(key, None)

    def count(self, where: Where | None = None) -> int:
        """See `Records`."""
        return sum(len(batch) for batch in self.scan(where, vectors=False))

    def drop(self) -> None:
        """See `Records`."""
        with self._store.lock:
            self._store.records.pop(self._name, None)

    def _records(self) -> dict[str, tuple[str, Float32 | None]]:
        return self._store.records.get(self._name, {})

    def _stored(self, record: Record) -> tuple[str, Float32 | None]:
        if not record.key:
            raise InputError("a record's key is empty")
        vector = None
        if record.vector is not None:
            vector = record.vector.astype(np.float32)
            if vector.shape != (self._dimension,) or not self._dimension:
                raise InputError(f"{record.key!r}: the vector should be ({self._dimension},)")
        try:
            return json.dumps(record.document, allow_nan=False), vector
        except (TypeError, ValueError) as error:
            raise InputError(f"{record.key!r} is not JSON: {error}") from error


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


def _is_same_vector(table: VectorTable, left: Float32, right: Float32) -> bool:
    if table.rescales:
        return bool((np.abs(left - right) <= _TOLERANCE).all())
    return left.tobytes() == right.astype(np.float32).tobytes()


def _to_record(key: str, text: str, vector: Float32 | None, *, vectors: bool) -> Record:
    copy = vector.copy() if vectors and vector is not None else None
    return Record(key=key, document=json.loads(text), vector=copy)


def _is_match(document: dict[str, Any], where: Where) -> bool:
    return all(_is_value_match(document.get(name), want) for name, want in where.items())


def _is_value_match(value: Any, want: Scalar | tuple[float, float]) -> bool:
    if isinstance(want, tuple):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and want[0] <= value < want[1]
    return isinstance(value, bool) == isinstance(want, bool) and bool(value == want)
