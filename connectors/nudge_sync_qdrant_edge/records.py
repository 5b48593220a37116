"""The sidecar's own records in a shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from qdrant_edge import ScrollRequest, UpdateOperation

from nudge_sync.connector import Record, Where, check_records, has_generation
from nudge_sync_qdrant_common.record_codec import encode_record, hash_key, list_fields
from nudge_sync_qdrant_edge.client import Shards
from nudge_sync_qdrant_edge.counting import count_records
from nudge_sync_qdrant_edge.create import ensure_records_collection
from nudge_sync_qdrant_edge.errors import translate_errors
from nudge_sync_qdrant_edge.query import MAX_REQUEST_ROWS
from nudge_sync_qdrant_edge.record_codec import build_filter, to_point, to_record


class EdgeRecords:
    """See `nudge_sync.connector.Records`. A record's id is the SHA-256 of its key, as a UUID.

    `swap` has no window: threads of this process wait for each other, and the engine locks every
    other process out.
    """

    def __init__(self, shards: Shards, name: str, dimension: int, indexed: Sequence[str]) -> None:
        self._shards = shards
        self._name = name
        self._dimension = dimension
        self._indexed = tuple(indexed)

    def put(self, records: Sequence[Record]) -> None:
        """See `Records.put`."""
        latest_records = check_records(records, self._dimension)
        payloads = [encode_record(record) for record in latest_records]
        if not payloads:
            return
        with self._shards.lock:
            size = ensure_records_collection(
                self._shards, self._name, self._dimension, self._indexed
            )
            rows = zip(latest_records, payloads, strict=True)
            points = [to_point(record, payload, size) for record, payload in rows]
            for start in range(0, len(points), MAX_REQUEST_ROWS):
                batch = points[start : start + MAX_REQUEST_ROWS]
                byte_count = 4 * self._dimension * len(batch) if self._dimension else None
                self._shards.update(
                    self._name, UpdateOperation.upsert_points(batch), byte_count=byte_count
                )
            self._shards.flush(last=self._name)

    def swap(self, record: Record, expected: int | None) -> bool:
        """See `Records.swap`."""
        with self._shards.lock:
            if not has_generation(self.get([record.key], vectors=False), expected):
                return False
            self.put([record])
            return True

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """See `Records.get`."""
        shard = self._shards.find(self._name)
        if shard is None or not keys:
            return []
        ids: list[int | UUID | str] = [hash_key(key) for key in dict.fromkeys(keys)]
        fields = list_fields(vectors=vectors)
        stored: dict[str, Record] = {}
        with translate_errors(self._name):
            for start in range(0, len(ids), MAX_REQUEST_ROWS):
                batch = ids[start : start + MAX_REQUEST_ROWS]
                points = shard.retrieve(batch, with_payload=fields, with_vector=vectors)
                stored |= {item.key: item for item in map(to_record, points)}
        return [stored[key] for key in keys if key in stored]

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `Records.scan`."""
        offset: Any = None
        condition = build_filter(where or {})
        while (shard := self._shards.find(self._name)) is not None:
            request = ScrollRequest(
                offset=offset,
                limit=batch_size,
                filter=condition,
                with_payload=list_fields(vectors=vectors),
                with_vector=vectors,
            )
            with translate_errors(self._name):
                points, offset = shard.scroll(request)
                batch = [to_record(point) for point in points]
            if batch:
                yield batch
            if offset is None:
                return

    def delete(self, keys: Sequence[str]) -> None:
        """See `Records.delete`."""
        if not keys or self._shards.find(self._name) is None:
            return
        ids: list[int | UUID | str] = [hash_key(key) for key in keys]
        with self._shards.lock:
            self._shards.update(self._name, UpdateOperation.delete_points(ids))
            self._shards.flush(last=self._name)

    def count(self, where: Where | None = None) -> int:
        """See `Records.count`."""
        shard = self._shards.find(self._name)
        if shard is None:
            return 0
        # What is counted in two steps must not change in between, by `put` or `delete`.
        with self._shards.lock, translate_errors(self._name):
            return count_records(shard, where or {})

    def drop(self) -> None:
        """See `Records.drop`."""
        self._shards.drop(self._name)
