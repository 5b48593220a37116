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
from nudge_sync_qdrant.client import CONDITIONAL, MODES, Session
from nudge_sync_qdrant_common import record_codec

_VECTOR = "vector"
_SWAP = "swap"
_ROWS = 1000
_REQUEST_BYTES = 8 * 2**20
_NUMBER_BYTES = 22
# Whatever the server's own defaults say: what was put can be read, and requests are bounded here.
_SEEN_AT_ONCE = OptimizersConfigDiff(prevent_unoptimized=False)
_NO_LIMITS = StrictModeConfig(enabled=False)


class QdrantRecords:
    """See `nudge_sync.connector.Records`. Keys become UUIDs by their SHA-256.

    A swap is one conditional upsert on servers from 1.17. On 1.16 too, but a record that another
    process deletes at the same moment comes back. Before that it is a read, a compare and an
    upsert: two processes that swap within one round trip of each other may both win. Where a
    third process swaps again before a swap is read back, the second is told that it lost.
    """

    def __init__(self, session: Session, name: str, dimension: int, indexed: Sequence[str]) -> None:
        self._session = session
        self._name = name
        self._place = f'"{name}"'
        self._dimension = dimension
        self._indexed = tuple(indexed)
        self._ready = False
        self._copies: int | None = None
        """Replicas of each shard, once known."""

    def put(self, records: Sequence[Record]) -> None:
        """See `Records`."""
        points = [self._point(item) for item in record_codec.checked(records, self._dimension)]
        if not points:
            return
        self._ensure()
        for batch in _batches(points, self._dimension):
            self._upsert(batch)

    def swap(self, record: Record, expected: int | None) -> bool:
        """See `Records`."""
        (item,) = record_codec.checked([record], self._dimension)
        with self._session.lock:
            stored = self.get([item.key], vectors=False)
            held = record_codec.generation(stored[0].document) if stored else None
            if held != expected or bool(stored) != (expected is not None):
                return False
            self._ensure()
            mark = uuid4().hex
            point = self._point(item)
            point.payload = {**(point.payload or {}), _SWAP: mark}
            self._upsert([point], **self._condition(expected))
            return self._mark_of(item.key) == mark

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """See `Records`."""
        ids = [record_codec.point_id(key) for key in dict.fromkeys(keys)]
        stored: dict[str, Record] = {}
        for start in range(0, len(ids), _ROWS):
            part = self._retrieve(ids[start : start + _ROWS], vectors=vectors)
            stored |= {item.key: item for item in map(self._record, part)}
        return [stored[key] for key in keys if key in stored]

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `Records`."""
        offset: Any = None
        while True:
            try:
                with self._session.asking(self._place):
                    found, offset = self._session.client.scroll(
                        self._name,
                        scroll_filter=_filter(where or {}),
                        limit=batch_size,
                        offset=offset,
                        with_payload=True,
                        with_vectors=vectors,
                        consistency=ReadConsistencyType.ALL,
                    )
            except CollectionNotFound:
                return
            if found:
                yield [self._record(point) for point in found]
            if offset is None:
                return

    def delete(self, keys: Sequence[str]) -> None:
        """See `Records`."""
        ids = [record_codec.point_id(key) for key in dict.fromkeys(keys)]
        for start in range(0, len(ids), _ROWS):
            try:
                with self._session.asking(self._place):
                    result = self._session.client.delete(
                        self._name,
                        PointIdsList(points=[*ids[start : start + _ROWS]]),
                        wait=True,
                        ordering=WriteOrdering.STRONG,
                    )
            except CollectionNotFound:
                return
            self._session.done(self._place, result)

    def count(self, where: Where | None = None) -> int:
        """See `Records`."""
        try:
            with self._session.asking(self._place):
                found = self._session.client.count(
                    self._name, count_filter=_filter(where or {}), exact=True
                )
        except CollectionNotFound:
            return 0
        return found.count

    def drop(self) -> None:
        """See `Records`."""
        self._ready = False
        if self._exists():
            with self._session.asking(self._place):
                self._session.client.delete_collection(self._name)

    def _upsert(self, points: list[PointStruct], **condition: Any) -> None:
        try:
            self._upsert_once(points, **condition)
        except CollectionNotFound:
            # Dropped through another handle since this one made sure of it.
            self._ready = False
            self._ensure()
            self._upsert_once(points, **condition)

    def _upsert_once(self, points: list[PointStruct], **condition: Any) -> None:
        with self._session.asking(self._place):
            result = self._session.client.upsert(
                self._name, points, wait=True, ordering=WriteOrdering.STRONG, **condition
            )
        self._session.done(self._place, result)

    def _condition(self, expected: int | None) -> dict[str, Any]:
        """What makes the upsert of a swap do nothing if another process came first."""
        if not self._session.at_least(CONDITIONAL):
            return {}
        if expected is None and self._session.at_least(MODES):
            return {"update_mode": UpdateMode.INSERT_ONLY}
        # A record that is there has a generation of 0 or more, so -1 never matches: insert only.
        token = record_codec.token("generation", -1 if expected is None else expected)
        condition: dict[str, Any] = {"update_filter": Filter(must=[_has(token)])}
        if expected is not None and self._session.at_least(MODES):
            condition["update_mode"] = UpdateMode.UPDATE_ONLY
        return condition

    def _mark_of(self, key: str) -> str | None:
        found = self._retrieve([record_codec.point_id(key)], vectors=False)
        return (found[0].payload or {}).get(_SWAP) if found else None

    def _retrieve(self, ids: list[str], *, vectors: bool) -> list[StoredPoint]:
        found = self._stored(ids, ReadConsistencyType.ALL, vectors=vectors)
        if len(found) < len(ids) and self._replicated():
            # `all` leaves out the records on which replicas differ, as if there were none: then a
            # vector that a revision wrote would be taken for the application's.
            known = {str(point.id) for point in found}
            left = [each for each in ids if each not in known]
            if disputed := self._stored(left, None, vectors=False):
                key = self._record(disputed[0]).key
                raise Unreachable(f"{self._place}: replicas disagree on record {key!r} just now")
        return found

    def _stored(
        self, ids: list[str], consistency: ReadConsistencyType | None, *, vectors: bool
    ) -> list[StoredPoint]:
        try:
            with self._session.asking(self._place):
                return self._session.client.retrieve(
                    self._name,
                    [*ids],
                    with_payload=True,
                    with_vectors=vectors,
                    consistency=consistency,
                )
        except CollectionNotFound:
            return []

    def _replicated(self) -> bool:
        if self._copies is None and not self._session.local:
            try:
                with self._session.asking(self._place):
                    params = self._session.client.get_collection(self._name).config.params
            except CollectionNotFound:
                return False
            self._copies = params.replication_factor or 1
        return (self._copies or 1) > 1

    def _ensure(self) -> None:
        """The collection and its payload indexes, made where they are not there yet."""
        if self._ready:
            return
        if not self._exists():
            self._create()
        with self._session.asking(self._place):
            info = self._session.client.get_collection(self._name)
        vectors = info.config.params.vectors
        size = vectors[_VECTOR].size if isinstance(vectors, dict) and _VECTOR in vectors else 0
        if size != self._dimension:
            raise UnsupportedCollection(
                f"{self._place} holds vectors of {size} numbers, not {self._dimension}; drop it, "
                "or give the collection another name"
            )
        self._index(set(info.payload_schema))
        self._ready = True

    def _create(self) -> None:
        # Dot, because cosine rescales; m=0: nobody searches here, so no graph is built.
        params = VectorParams(
            size=self._dimension,
            distance=Distance.DOT,
            on_disk=True,
            hnsw_config=HnswConfigDiff(m=0),
        )
        try:
            with self._session.asking(self._place):
                self._session.client.create_collection(
                    self._name,
                    vectors_config={_VECTOR: params} if self._dimension else {},
                    on_disk_payload=True,
                    replication_factor=self._session.settings.replication_factor,
                    optimizers_config=_SEEN_AT_ONCE,
                    strict_mode_config=_NO_LIMITS,
                )
        except DatabaseError as error:
            # Another process may have been first.
            if error.transient or not self._exists():
                raise

    def _exists(self) -> bool:
        with self._session.asking(self._place):
            return self._session.client.collection_exists(self._name)

    def _index(self, known: set[str]) -> None:
        if self._session.local:
            return  # Local mode has no payload indexes, and warns of it.
        numbers = {
            record_codec.number_path(name): PayloadSchemaType.FLOAT for name in self._indexed
        }
        for field, schema in {record_codec.TOKENS: PayloadSchemaType.KEYWORD, **numbers}.items():
            if field not in known:
                with self._session.asking(self._place):
                    self._session.client.create_payload_index(self._name, field, schema, wait=True)

    def _point(self, record: Record) -> PointStruct:
        vector = {} if record.vector is None else {_VECTOR: record.vector.tolist()}
        return PointStruct(
            id=record_codec.point_id(record.key),
            vector=vector,
            payload=record_codec.payload(record),
        )

    def _record(self, point: StoredPoint) -> Record:
        vectors: Any = point.vector or {}
        numbers = vectors.get(_VECTOR) if isinstance(vectors, dict) else vectors
        vector = np.array(numbers, dtype=np.float32) if numbers else None
        return record_codec.record(point.payload or {}, vector)


def _batches(points: list[PointStruct], dimension: int) -> Iterator[list[PointStruct]]:
    """The points in requests of bounded size: by rows, and by bytes as JSON."""
    batch: list[PointStruct] = []
    size = 0
    for point in points:
        payload = point.payload or {}
        own = _NUMBER_BYTES * dimension + len(payload["document"]) + 2 * len(payload["key"])
        if batch and (len(batch) == _ROWS or size + own > _REQUEST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(point)
        size += own
    if batch:
        yield batch


def _filter(where: Where) -> Filter | None:
    equal = [_has(token) for token in record_codec.equalities(where)]
    between = [
        FieldCondition(key=path, range=Range(gte=low, lt=high))
        for path, low, high in record_codec.ranges(where)
    ]
    return Filter(must=[*equal, *between]) if equal or between else None


def _has(token: str) -> FieldCondition:
    return FieldCondition(key=record_codec.TOKENS, match=MatchValue(value=token))
