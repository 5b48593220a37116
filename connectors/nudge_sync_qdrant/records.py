"""The sidecar's own records in a collection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

from qdrant_client.models import (
    PointIdsList,
    PointStruct,
    UpdateMode,
    UpdateResult,
    WriteOrdering,
)
from qdrant_client.models import Record as StoredPoint

from nudge_sync.connector import Record, Where, check_records, has_generation, is_match
from nudge_sync.errors import CollectionNotFound, Unreachable
from nudge_sync_qdrant.client import CONDITIONAL_UPDATE_RELEASE, UPDATE_MODE_RELEASE, Connection
from nudge_sync_qdrant.consistency import Consistency, read_decisively, update_in_order
from nudge_sync_qdrant.create import ensure_records_collection, has_collection
from nudge_sync_qdrant.query import MAX_REQUEST_ROWS
from nudge_sync_qdrant.record_codec import (
    build_filter,
    build_generation_filter,
    fit_vector,
    split_points,
    to_point,
    to_record,
)
from nudge_sync_qdrant_common.record_codec import hash_key, list_fields

_SWAP_MARK_FIELD = "swap"
"""The payload's field of the last swap's own mark, which tells whether that swap won."""


class QdrantRecords:
    """See `nudge_sync.connector.Records`. A record's id is the SHA-256 of its key, as a UUID.

    **The window of `swap`.** From Qdrant 1.17 a swap is one conditional upsert. On 1.16 too, but
    a record that another process deletes at the same moment comes back. Before 1.16 it is a read,
    a compare and an upsert: two processes that swap within one round trip of each other may both
    win. A swap that another one follows before it is read back is told that it lost.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        dimension: int,
        indexed: Sequence[str],
        beside: str = "",
    ) -> None:
        self._connection = connection
        self._name = name
        self._subject = f'"{name}"'
        self._dimension = dimension
        self._indexed = tuple(indexed)
        self._vector_size: int | None = None
        """How many numbers the collection's own vectors have; None until this handle made sure that
        the collection and its indexes are there."""
        self._beside = beside
        """The collection that says how many copies there are to be; "" for none."""

    def put(self, records: Sequence[Record]) -> None:
        """See `Records.put`."""
        points = [to_point(record) for record in check_records(records, self._dimension)]
        if not points:
            return
        for batch in split_points(points, self._dimension):
            self._upsert(batch)

    def swap(self, record: Record, expected: int | None) -> bool:
        """See `Records.swap`."""
        check_records([record], self._dimension)
        with self._connection.lock:
            if not has_generation(self.get([record.key], vectors=False), expected):
                return False
            mark = uuid4().hex
            point = to_point(record)
            point.payload = {**(point.payload or {}), _SWAP_MARK_FIELD: mark}
            self._upsert([point], **self._build_swap_condition(expected))
            return self._read_swap_mark(record.key) == mark

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """See `Records.get`."""
        ids = [hash_key(key) for key in dict.fromkeys(keys)]
        stored: dict[str, Record] = {}
        for start in range(0, len(ids), MAX_REQUEST_ROWS):
            points = self._retrieve(ids[start : start + MAX_REQUEST_ROWS], vectors=vectors)
            stored |= {item.key: item for item in map(to_record, points)}
        return [stored[key] for key in keys if key in stored]

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `Records.scan`."""
        offset: Any = None
        # In a cluster a page of agreed records may be cut short, and would seem the last one: so
        # any copy lists the ids, and the records are read by them.
        by_id = self._connection.is_cluster
        while True:
            try:
                with self._connection.translate_errors(self._subject):
                    points, offset = self._connection.client.scroll(
                        self._name,
                        scroll_filter=build_filter(where or {}),
                        limit=batch_size,
                        offset=offset,
                        with_payload=False if by_id else list_fields(vectors=vectors),
                        with_vectors=vectors and not by_id,
                    )
            except CollectionNotFound:
                return
            if by_id:
                points = self._retrieve([str(point.id) for point in points], vectors=vectors)
            records = [to_record(point) for point in points]
            if by_id:
                records = [each for each in records if is_match(each.document, where or {})]
            if records:
                yield records
            if offset is None:
                return

    def delete(self, keys: Sequence[str]) -> None:
        """See `Records.delete`."""
        ids = [hash_key(key) for key in dict.fromkeys(keys)]
        for start in range(0, len(ids), MAX_REQUEST_ROWS):
            batch = PointIdsList(points=[*ids[start : start + MAX_REQUEST_ROWS]])
            try:
                update_in_order(self._connection, self._name, partial(self._send_deletion, batch))
            except CollectionNotFound:
                return

    def count(self, where: Where | None = None) -> int:
        """See `Records.count`."""
        try:
            with self._connection.translate_errors(self._subject):
                result = self._connection.client.count(
                    self._name, count_filter=build_filter(where or {}), exact=True
                )
        except CollectionNotFound:
            return 0
        return result.count

    def drop(self) -> None:
        """See `Records.drop`."""
        self._vector_size = None
        if has_collection(self._connection, self._name):
            with self._connection.translate_errors(self._subject):
                self._connection.client.delete_collection(self._name)

    def _upsert(self, points: list[PointStruct], **condition: Any) -> None:
        try:
            self._send_upsert(points, **condition)
        except CollectionNotFound:
            # Dropped through another handle since this one made sure of it.
            self._vector_size = None
            self._send_upsert(points, **condition)

    def _send_upsert(self, points: list[PointStruct], **condition: Any) -> None:
        size = self._ensure_collection()
        fitting_points = [fit_vector(point, size) for point in points]

        def send(ordering: WriteOrdering) -> UpdateResult:
            return self._connection.client.upsert(
                self._name, fitting_points, wait=True, ordering=ordering, **condition
            )

        update_in_order(self._connection, self._name, send)

    def _send_deletion(self, batch: PointIdsList, ordering: WriteOrdering) -> UpdateResult:
        return self._connection.client.delete(self._name, batch, wait=True, ordering=ordering)

    def _build_swap_condition(self, expected: int | None) -> dict[str, Any]:
        """Return what makes the upsert of a swap do nothing if another process came first."""
        if not self._connection.is_at_least(CONDITIONAL_UPDATE_RELEASE):
            return {}
        if expected is None and self._connection.is_at_least(UPDATE_MODE_RELEASE):
            return {"update_mode": UpdateMode.INSERT_ONLY}
        # A record that is there has a generation of 0 or more, so -1 never matches: insert only.
        generation = -1 if expected is None else expected
        condition: dict[str, Any] = {"update_filter": build_generation_filter(generation)}
        if expected is not None and self._connection.is_at_least(UPDATE_MODE_RELEASE):
            condition["update_mode"] = UpdateMode.UPDATE_ONLY
        return condition

    def _read_swap_mark(self, key: str) -> str | None:
        points = self._retrieve([hash_key(key)], vectors=False)
        return (points[0].payload or {}).get(_SWAP_MARK_FIELD) if points else None

    def _retrieve(self, ids: list[str], *, vectors: bool) -> list[StoredPoint]:
        if not ids:
            return []
        fetch = partial(self._fetch, ids, vectors=vectors)
        if not self._connection.is_cluster:
            return fetch(None)
        points = read_decisively(self._connection, self._name, fetch)
        if len(points) < len(ids):
            # Left out are also the records on which copies differ, as if there were none: then a
            # vector that a revision wrote would be taken for the application's.
            present_ids = {str(point.id) for point in points}
            absent_ids = [each for each in ids if each not in present_ids]
            if disputed := self._fetch(absent_ids, None, vectors=False):
                key = to_record(disputed[0]).key
                raise Unreachable(f"{self._subject}: replicas disagree on record {key!r} just now")
        return points

    def _fetch(
        self, ids: list[str], consistency: Consistency, *, vectors: bool
    ) -> list[StoredPoint]:
        try:
            with self._connection.translate_errors(self._subject):
                return self._connection.client.retrieve(
                    self._name,
                    [*ids],
                    with_payload=[*list_fields(vectors=vectors), _SWAP_MARK_FIELD],
                    with_vectors=vectors,
                    consistency=consistency,
                )
        except CollectionNotFound:
            return []

    def _ensure_collection(self) -> int:
        """Make the collection if need be, and return how many numbers its vectors have."""
        if self._vector_size is None:
            self._vector_size = ensure_records_collection(
                self._connection, self._name, self._dimension, self._indexed, self._beside
            )
        return self._vector_size
