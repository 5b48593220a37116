"""The sidecar's own records in a database in this process; for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from nudge_sync.connector import (
    Float32,
    Record,
    Where,
    check_records,
    decode_vector,
    encode_vector,
    has_generation,
    is_match,
)
from nudge_sync.errors import InputError
from nudge_sync.testing.store import MemoryStore


class MemoryRecords:
    """See `nudge_sync.connector.Records`.

    `swap` has no window: under the store's lock it is one step. A collection has vectors of the
    dimension that it was made for, as in every other database: one of another dimension stands
    behind the document, as text.
    """

    def __init__(self, store: MemoryStore, name: str, dimension: int, beside: str = "") -> None:
        self._store = store
        self._name = name
        self._dimension = dimension
        self._beside = beside

    def put(self, records: Sequence[Record]) -> None:
        """See `Records.put`."""
        latest_records = check_records(records, self._dimension)
        stored = {record.key: self._stored(record) for record in latest_records}
        with self._store.lock:
            if stored and self._name not in self._store.records:
                self._create()
            table = self._records()
            for key, (text, vector) in stored.items():
                table[key] = self._fit(text, vector)

    def swap(self, record: Record, expected: int | None) -> bool:
        """See `Records.swap`."""
        with self._store.lock:
            if not has_generation(self.get([record.key], vectors=False), expected):
                return False
            self.put([record])
            return True

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """See `Records.get`."""
        with self._store.lock:
            table = self._records()
            rows = [(key, *table[key]) for key in keys if key in table]
        return [_to_record(key, text, vector, vectors=vectors) for key, text, vector in rows]

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `Records.scan`."""
        with self._store.lock:
            keys = list(self._records())
        matching = [item for item in self.get(keys) if is_match(item.document, where or {})]
        for start in range(0, len(matching), batch_size):
            part = matching[start : start + batch_size]
            yield part if vectors else [replace(item, vector=None) for item in part]

    def delete(self, keys: Sequence[str]) -> None:
        """See `Records.delete`."""
        with self._store.lock:
            for key in keys:
                self._records().pop(key, None)

    def count(self, where: Where | None = None) -> int:
        """See `Records.count`."""
        return sum(len(batch) for batch in self.scan(where, vectors=False))

    def drop(self) -> None:
        """See `Records.drop`."""
        with self._store.lock:
            self._store.records.pop(self._name, None)
            self._store.dimensions.pop(self._name, None)
            self._store.replications.pop(self._name, None)

    def _create(self) -> None:
        self._store.records[self._name] = {}
        self._store.dimensions[self._name] = self._dimension
        if self._beside in self._store.replications:
            self._store.replications[self._name] = self._store.replications[self._beside]

    def _records(self) -> dict[str, tuple[str, Float32 | None]]:
        return self._store.records.get(self._name, {})

    def _stored(self, record: Record) -> tuple[str, Float32 | None]:
        vector = None if record.vector is None else record.vector.astype(np.float32)
        try:
            return json.dumps(record.document, allow_nan=False), vector
        except (TypeError, ValueError) as error:
            raise InputError(f"{record.key!r} is not JSON: {error}") from error

    def _fit(self, text: str, vector: Float32 | None) -> tuple[str, Float32 | None]:
        dimension = self._store.dimensions.get(self._name, self._dimension)
        if vector is None or len(vector) == dimension:
            return text, vector
        return f"{text}\n{encode_vector(vector)}", None


def _to_record(key: str, text: str, vector: Float32 | None, *, vectors: bool) -> Record:
    # JSON as it is stored has no line break.
    document, _, other_vector = text.partition("\n")
    if other_vector:
        vector = decode_vector(other_vector)
    copy = vector.copy() if vectors and vector is not None else None
    return Record(key=key, document=json.loads(document), vector=copy)
