"""The sidecar's own records in a collection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import numpy as np
from qdrant_client.models import (
    Distance,
    FieldCondition,
    Filter,
    HnswConfigDiff,
    MatchValue,
    OptimizersConfigDiff,
    PayloadSchemaType,
    PointIdsList,
    PointStruct,
    Range,
    ReadConsistencyType,
    StrictModeConfig,
    UpdateMode,
    VectorParams,
    WriteOrdering,
)
from qdrant_client.models import Record as StoredPoint

from nudge_sync.connector import Record, Where
from nudge_sync.errors import (
    CollectionNotFound,
    DatabaseError,
    Unreachable,
    UnsupportedCollection,
)
from nudge_sync_qdrant.client import CONDITIONAL_UPDATE_RELEASE, UPDATE_MODE_RELEASE, Connection
from nudge_sync_qdrant_common import record_codec

_VECTOR_NAME = "vector"
_SWAP_MARK_FIELD = "swap"
_MAX_REQUEST_ROWS = 1000
_MAX_REQUEST_BYTES = 8 * 2**20
_JSON_NUMBER_BYTES = 22
# Whatever the server's own defaults say: what was put can be read, and requests are bounded here.
_READ_UNOPTIMISED = OptimizersConfigDiff(prevent_unoptimized=False)
_STRICT_MODE_OFF = StrictModeConfig(enabled=False)


class QdrantRecords:
    """See `nudge_sync.connector.Records`. Keys become UUIDs by their SHA-256.

    A swap is one conditional upsert on servers from 1.17. On 1.16 too, but a record that another
    process deletes at the same moment comes back. Before that it is a read, a compare and an
    upsert: two processes that swap within one round trip of each other may both win. Where a
    third process swaps again before a swap is read back, the second is told that it lost.
    """

    def __init__(
        self, connection: Connection, name: str, dimension: int, indexed: Sequence[str]
    ) -> None:
        self._connection = connection
        self._name = name
        self._subject = f'"{name}"'
        self._dimension = dimension
        self._indexed = tuple(indexed)
        self._is_ensured = False
        self._replica_count: int | None = None
        """Replicas of each shard, once known."""

    def put(self, records: Sequence[Record]) -> None:
        """See `Records`."""
        points = [
            self._to_point(item) for item in record_codec.check_records(records, self._dimension)
        ]
        if not points:
            return
        self._ensure_collection()
        for batch in _split_points(points, self._dimension):
            self._upsert(batch)

    def swap(self, record: Record, expected: int | None) -> bool:
        """See `Records`."""
        (item,) = record_codec.check_records([record], self._dimension)
        with self._connection.lock:
            stored = self.get([item.key], vectors=False)
            stored_generation = record_codec.get_generation(stored[0].document) if stored else None
            if stored_generation != expected or bool(stored) != (expected is not None):
                return False
            self._ensure_collection()
            mark = uuid4().hex
            point = self._to_point(item)
            point.payload = {**(point.payload or {}), _SWAP_MARK_FIELD: mark}
            self._upsert([point], **self._build_swap_condition(expected))
            return self._read_swap_mark(item.key) == mark

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """See `Records`."""
        ids = [record_codec.hash_key(key) for key in dict.fromkeys(keys)]
        stored: dict[str, Record] = {}
        for start in range(0, len(ids), _MAX_REQUEST_ROWS):
            points = self._retrieve(ids[start : start + _MAX_REQUEST_ROWS], vectors=vectors)
            stored |= {item.key: item for item in map(self._to_record, points)}
        return [stored[key] for key in keys if key in stored]

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `Records`."""
        offset: Any = None
        while True:
            try:
                with self._connection.translate_errors(self._subject):
                    points, offset = self._connection.client.scroll(
                        self._name,
                        scroll_filter=_build_filter(where or {}),
                        limit=batch_size,
                        offset=offset,
                        with_payload=True,
                        with_vectors=vectors,
                        consistency=ReadConsistencyType.ALL,
                    )
            except CollectionNotFound:
                return
            if points:
                yield [self._to_record(point) for point in points]
            if offset is None:
                return

    def delete(self, keys: Sequence[str]) -> None:
        """See `Records`."""
        ids = [record_codec.hash_key(key) for key in dict.fromkeys(keys)]
        for start in range(0, len(ids), _MAX_REQUEST_ROWS):
            try:
                with self._connection.translate_errors(self._subject):
                    result = self._connection.client.delete(
                        self._name,
                        PointIdsList(points=[*ids[start : start + _MAX_REQUEST_ROWS]]),
                        wait=True,
                        ordering=WriteOrdering.STRONG,
                    )
            except CollectionNotFound:
                return
            self._connection.require_completed(self._subject, result)

    def count(self, where: Where | None = None) -> int:
        """See `Records`."""
        try:
            with self._connection.translate_errors(self._subject):
                result = self._connection.client.count(
                    self._name, count_filter=_build_filter(where or {}), exact=True
                )
        except CollectionNotFound:
            return 0
        return result.count

    def drop(self) -> None:
        """See `Records`."""
        self._is_ensured = False
        if self._has_collection():
            with self._connection.translate_errors(self._subject):
                self._connection.client.delete_collection(self._name)

    def _upsert(self, points: list[PointStruct], **condition: Any) -> None:
        try:
            self._send_upsert(points, **condition)
        except CollectionNotFound:
            # Dropped through another handle since this one made sure of it.
            self._is_ensured = False
            self._ensure_collection()
            self._send_upsert(points, **condition)

    def _send_upsert(self, points: list[PointStruct], **condition: Any) -> None:
        with self._connection.translate_errors(self._subject):
            result = self._connection.client.upsert(
                self._name, points, wait=True, ordering=WriteOrdering.STRONG, **condition
            )
        self._connection.require_completed(self._subject, result)

    def _build_swap_condition(self, expected: int | None) -> dict[str, Any]:
        """What makes the upsert of a swap do nothing if another process came first."""
        if not self._connection.is_at_least(CONDITIONAL_UPDATE_RELEASE):
            return {}
        if expected is None and self._connection.is_at_least(UPDATE_MODE_RELEASE):
            return {"update_mode": UpdateMode.INSERT_ONLY}
        # A record that is there has a generation of 0 or more, so -1 never matches: insert only.
        term = record_codec.encode_term("generation", -1 if expected is None else expected)
        condition: dict[str, Any] = {"update_filter": Filter(must=[_build_term_condition(term)])}
        if expected is not None and self._connection.is_at_least(UPDATE_MODE_RELEASE):
            condition["update_mode"] = UpdateMode.UPDATE_ONLY
        return condition

    def _read_swap_mark(self, key: str) -> str | None:
        points = self._retrieve([record_codec.hash_key(key)], vectors=False)
        return (points[0].payload or {}).get(_SWAP_MARK_FIELD) if points else None

    def _retrieve(self, ids: list[str], *, vectors: bool) -> list[StoredPoint]:
        points = self._fetch(ids, ReadConsistencyType.ALL, vectors=vectors)
        if len(points) < len(ids) and self._is_replicated():
            # `all` leaves out the records on which replicas differ, as if there were none: then a
            # vector that a revision wrote would be taken for the application's.
            found_ids = {str(point.id) for point in points}
            missing_ids = [each for each in ids if each not in found_ids]
            if disputed := self._fetch(missing_ids, None, vectors=False):
                key = self._to_record(disputed[0]).key
                raise Unreachable(f"{self._subject}: replicas disagree on record {key!r} just now")
        return points

    def _fetch(
        self, ids: list[str], consistency: ReadConsistencyType | None, *, vectors: bool
    ) -> list[StoredPoint]:
        try:
            with self._connection.translate_errors(self._subject):
                return self._connection.client.retrieve(
                    self._name,
                    [*ids],
                    with_payload=True,
                    with_vectors=vectors,
                    consistency=consistency,
                )
        except CollectionNotFound:
            return []

    def _is_replicated(self) -> bool:
        if self._replica_count is None and not self._connection.is_local:
            try:
                with self._connection.translate_errors(self._subject):
                    params = self._connection.client.get_collection(self._name).config.params
            except CollectionNotFound:
                return False
            self._replica_count = params.replication_factor or 1
        return (self._replica_count or 1) > 1

    def _ensure_collection(self) -> None:
        """The collection and its payload indexes, made where they are not there yet."""
        if self._is_ensured:
            return
        if not self._has_collection():
            self._create_collection()
        with self._connection.translate_errors(self._subject):
            info = self._connection.client.get_collection(self._name)
        vectors = info.config.params.vectors
        size = (
            vectors[_VECTOR_NAME].size
            if isinstance(vectors, dict) and _VECTOR_NAME in vectors
            else 0
        )
        if size != self._dimension:
            raise UnsupportedCollection(
                f"{self._subject} holds vectors of {size} numbers, not {self._dimension}; drop it, "
                "or give the collection another name"
            )
        self._create_indexes(set(info.payload_schema))
        self._is_ensured = True

    def _create_collection(self) -> None:
        # Dot, because cosine rescales; m=0: nobody searches here, so no graph is built.
        params = VectorParams(
            size=self._dimension,
            distance=Distance.DOT,
            on_disk=True,
            hnsw_config=HnswConfigDiff(m=0),
        )
        try:
            with self._connection.translate_errors(self._subject):
                self._connection.client.create_collection(
                    self._name,
                    vectors_config={_VECTOR_NAME: params} if self._dimension else {},
                    on_disk_payload=True,
                    replication_factor=self._connection.settings.replication_factor,
                    optimizers_config=_READ_UNOPTIMISED,
                    strict_mode_config=_STRICT_MODE_OFF,
                )
        except DatabaseError as error:
            # Another process may have been first.
            if error.transient or not self._has_collection():
                raise

    def _has_collection(self) -> bool:
        with self._connection.translate_errors(self._subject):
            return self._connection.client.collection_exists(self._name)

    def _create_indexes(self, known: set[str]) -> None:
        if self._connection.is_local:
            return  # Local mode has no payload indexes, and warns of it.
        numbers = {
            record_codec.build_number_path(name): PayloadSchemaType.FLOAT for name in self._indexed
        }
        for field, schema in {
            record_codec.TERMS_FIELD: PayloadSchemaType.KEYWORD,
            **numbers,
        }.items():
            if field not in known:
                with self._connection.translate_errors(self._subject):
                    self._connection.client.create_payload_index(
                        self._name, field, schema, wait=True
                    )

    def _to_point(self, record: Record) -> PointStruct:
        vector = {} if record.vector is None else {_VECTOR_NAME: record.vector.tolist()}
        return PointStruct(
            id=record_codec.hash_key(record.key),
            vector=vector,
            payload=record_codec.encode_record(record),
        )

    def _to_record(self, point: StoredPoint) -> Record:
        vectors: Any = point.vector or {}
        numbers = vectors.get(_VECTOR_NAME) if isinstance(vectors, dict) else vectors
        vector = np.array(numbers, dtype=np.float32) if numbers else None
        return record_codec.decode_record(point.payload or {}, vector)


def _split_points(points: list[PointStruct], dimension: int) -> Iterator[list[PointStruct]]:
    """The points in requests of bounded size: by rows, and by bytes as JSON."""
    batch: list[PointStruct] = []
    batch_bytes = 0
    for point in points:
        payload = point.payload or {}
        point_bytes = (
            _JSON_NUMBER_BYTES * dimension + len(payload["document"]) + 2 * len(payload["key"])
        )
        if batch and (
            len(batch) == _MAX_REQUEST_ROWS or batch_bytes + point_bytes > _MAX_REQUEST_BYTES
        ):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(point)
        batch_bytes += point_bytes
    if batch:
        yield batch


def _build_filter(where: Where) -> Filter | None:
    term_conditions = [_build_term_condition(token) for token in record_codec.to_terms(where)]
    range_conditions = [
        FieldCondition(key=path, range=Range(gte=low, lt=high))
        for path, low, high in record_codec.to_ranges(where)
    ]
    return (
        Filter(must=[*term_conditions, *range_conditions])
        if term_conditions or range_conditions
        else None
    )


def _build_term_condition(term: str) -> FieldCondition:
    return FieldCondition(key=record_codec.TERMS_FIELD, match=MatchValue(value=term))
