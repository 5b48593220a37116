"""The sidecar's own records in a shard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from qdrant_edge import (
    CountRequest,
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeVectorParams,
    FieldCondition,
    Filter,
    MatchValue,
    Memory,
    PayloadSchemaType,
    Point,
    RangeFloat,
    ScrollRequest,
    UpdateOperation,
)
from qdrant_edge import Record as EdgePoint

from nudge_sync.connector import Record, Where
from nudge_sync.errors import UnsupportedCollection
from nudge_sync_qdrant_common import record_codec
from nudge_sync_qdrant_edge.client import Shards, translate_errors

_MAX_REQUEST_ROWS = 1000


class EdgeRecords:
    """See `nudge_sync.connector.Records`. Keys become UUIDs by their SHA-256."""

    def __init__(self, shards: Shards, name: str, dimension: int, indexed: Sequence[str]) -> None:
        self._shards = shards
        self._name = name
        self._dimension = dimension
        self._indexed = tuple(indexed)

    def put(self, records: Sequence[Record]) -> None:
        """See `Records`."""
        checked_records = record_codec.check_records(records, self._dimension)
        if not checked_records:
            return
        batches = [
            [self._to_point(item) for item in checked_records[start : start + _MAX_REQUEST_ROWS]]
            for start in range(0, len(checked_records), _MAX_REQUEST_ROWS)
        ]
        with self._shards.lock:
            self._ensure_collection()
            for points in batches:
                self._shards.update(self._name, UpdateOperation.upsert_points(points))
            self._shards.flush(last=self._name)

    def swap(self, record: Record, expected: int | None) -> bool:
        """See `Records`."""
        with self._shards.lock:
            stored = self.get([record.key], vectors=False)
            stored_generation = record_codec.get_generation(stored[0].document) if stored else None
            if stored_generation != expected or bool(stored) != (expected is not None):
                return False
            self.put([record])
            return True

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """See `Records`."""
        shard = self._find_shard()
        if shard is None or not keys:
            return []
        ids: list[int | UUID | str] = [record_codec.hash_key(key) for key in dict.fromkeys(keys)]
        stored: dict[str, Record] = {}
        with translate_errors(self._name):
            for start in range(0, len(ids), _MAX_REQUEST_ROWS):
                batch = ids[start : start + _MAX_REQUEST_ROWS]
                points = shard.retrieve(batch, with_payload=True, with_vector=vectors)
                stored |= {item.key: item for item in map(self._to_record, points)}
        return [stored[key] for key in keys if key in stored]

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `Records`."""
        offset: Any = None
        condition = _build_filter(where or {})
        while (shard := self._find_shard()) is not None:
            request = ScrollRequest(
                offset=offset,
                limit=batch_size,
                filter=condition,
                with_payload=True,
                with_vector=vectors,
            )
            with translate_errors(self._name):
                points, offset = shard.scroll(request)
                batch = [self._to_record(item) for item in points]
            if batch:
                yield batch
            if offset is None:
                return

    def delete(self, keys: Sequence[str]) -> None:
        """See `Records`."""
        if not keys or self._find_shard() is None:
            return
        ids: list[int | UUID | str] = [record_codec.hash_key(key) for key in keys]
        self._shards.update(self._name, UpdateOperation.delete_points(ids))
        self._shards.flush(last=self._name)

    def count(self, where: Where | None = None) -> int:
        """See `Records`."""
        shard = self._find_shard()
        if shard is None:
            return 0
        with translate_errors(self._name):
            return shard.count(CountRequest(exact=True, filter=_build_filter(where or {})))

    def drop(self) -> None:
        """See `Records`."""
        self._shards.drop(self._name)

    def _find_shard(self) -> EdgeShard | None:
        shard = self._shards.find(self._name)
        if shard is not None:
            self._refuse_other_dimension()
        return shard

    def _refuse_other_dimension(self) -> None:
        size = json.loads(self._shards.read_config(self._name))["vectors"][""]["size"]
        if self._dimension and size != self._dimension:
            raise UnsupportedCollection(
                f'"{self._name}" holds vectors of {size} numbers, not {self._dimension}; drop it, '
                "or give the collection another name"
            )

    def _ensure_collection(self) -> None:
        if self._find_shard() is None:
            self._shards.create(self._name, self._build_config())
        shard = self._shards.get(self._name)
        with translate_errors(self._name):
            known = set(shard.info().payload_schema)
        for field, schema in self._list_indexes().items():
            if field not in known:
                self._shards.update(self._name, UpdateOperation.create_field_index(field, schema))

    def _build_config(self) -> EdgeConfig:
        # Dot, because cosine rescales. Where there is no vector one number stays unused: the
        # engine wants at least one.
        size = max(self._dimension, 1)
        params = EdgeVectorParams(size=size, distance=Distance.Dot, memory=Memory.Cold)
        return EdgeConfig(vectors=params, payload_memory=Memory.Cold)

    def _list_indexes(self) -> Mapping[str, PayloadSchemaType]:
        numbers = {
            record_codec.build_number_path(name): PayloadSchemaType.Float for name in self._indexed
        }
        return {record_codec.TERMS_FIELD: PayloadSchemaType.Keyword, **numbers}

    def _to_point(self, record: Record) -> Point:
        vector: Any = {} if record.vector is None else record.vector.tolist()
        return Point(record_codec.hash_key(record.key), vector, record_codec.encode_record(record))

    def _to_record(self, point: EdgePoint) -> Record:
        vector = np.array(point.vector, dtype=np.float32) if point.vector else None
        return record_codec.decode_record(point.payload or {}, vector)


def _build_filter(where: Where) -> Filter | None:
    term_conditions = [
        FieldCondition(record_codec.TERMS_FIELD, MatchValue(each))
        for each in record_codec.to_terms(where)
    ]
    range_conditions = [
        FieldCondition(path, range=RangeFloat(gte=low, lt=high))
        for path, low, high in record_codec.to_ranges(where)
    ]
    conditions = [*term_conditions, *range_conditions]
    return Filter(must=list(conditions)) if conditions else None
