"""The requests of `QdrantCollection.write`: update vectors, on a mark where there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from qdrant_client.models import (
    CollectionInfo,
    FieldCondition,
    Filter,
    MatchValue,
    PayloadSchemaType,
    PointVectors,
    UpdateResult,
    WriteOrdering,
)

from nudge_sync.connector import Float32, PointId, Points, WriteReport
from nudge_sync_qdrant.client import Connection
from nudge_sync_qdrant.consistency import update_in_order
from nudge_sync_qdrant.errors import PointNotFound
from nudge_sync_qdrant.grpc_points import build_update, send_updates
from nudge_sync_qdrant.query import PointReader
from nudge_sync_qdrant.rest_points import build_json_update, send_json_updates
from nudge_sync_qdrant_common.guarded_write import compare_and_write, update_marked, write_batches
from nudge_sync_qdrant_common.ids import select_possible_ids

_WRITE_BATCH_ROWS = 150
"""Few, because a row is open to being overwritten from its batch's read to its batch's update."""
_WRITE_THREADS = 2
"""Batches of one call under way at once: the client works on one while the server works on the
other."""
BuildUpdate: TypeAlias = Callable[[PointId, Float32, str], Any]
"""Makes what a request says of one point, from its id, its new vector and the vector's name."""


class GuardedWrite:
    """Writes to one vector of a collection; see `QdrantCollection` for the window."""

    def __init__(
        self,
        connection: Connection,
        name: str,
        vector: str,
        reader: PointReader,
        *,
        rescales: bool,
    ) -> None:
        self._connection = connection
        self._name = name
        self._vector = vector
        self._reader = reader
        self._rescales = rescales

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """Write rows that have been checked, a batch at a time, and report on each."""
        batch_rows = min(_WRITE_BATCH_ROWS, self._reader.row_limit)
        threads = 1 if self._connection.is_local else _WRITE_THREADS
        return write_batches(points, expected, batch_rows, self._write_batch, threads)

    def _select_builder(self) -> BuildUpdate:
        if self._connection.is_local:
            return _build_local_update
        if self._connection.uses_grpc:
            return build_update
        return build_json_update

    def _write_batch(self, points: Points, expected: Float32) -> WriteReport:
        # Made before the compare, so that an update follows it at once.
        updates = _build_updates(points, self._vector, self._select_builder())
        batch = _Batch(self._connection, self._name, updates)

        def update(pending: Points, pending_expected: Float32) -> None:
            if not self._connection.settings.payload_mark:
                batch.update(pending.ids)
                return
            update_marked(
                pending,
                pending_expected,
                engine=batch,
                read=self._reader.read_for_write,
                rescales=self._rescales,
            )

        return compare_and_write(
            points,
            expected,
            read=self._reader.read_for_write,
            update=update,
            subject=f'"{self._name}"',
            rescales=self._rescales,
            window=self._connection.windows,
        )


class _Batch:
    """The requests that write one batch of rows."""

    def __init__(self, connection: Connection, name: str, updates: Mapping[PointId, Any]) -> None:
        self._connection = connection
        self._name = name
        self._mark = str(connection.settings.payload_mark)
        self._updates = updates

    def update(self, ids: Sequence[PointId], condition: Filter | None = None) -> None:
        """Send the new vectors of these points; rows that do not meet the condition stay."""

        def send(ordering: WriteOrdering) -> UpdateResult:
            client = self._connection.client
            updates = [self._updates[point_id] for point_id in ids]
            if self._connection.is_local:
                return client.update_vectors(
                    self._name, updates, ordering=ordering, update_filter=condition
                )
            if self._connection.uses_grpc:
                return send_updates(
                    client,
                    self._name,
                    updates,
                    ordering=ordering,
                    condition=condition,
                    timeout=self._connection.settings.timeout,
                )
            return send_json_updates(
                client, self._name, updates, ordering=ordering, condition=condition
            )

        # Where a point is gone, others of the batch may have been written: the read-back sorts
        # it out.
        self._send(send)

    def update_marked(self, ids: Sequence[PointId], token: str) -> None:
        """See `MarkedPoints.update_marked`."""
        holds_token = FieldCondition(key=self._mark, match=MatchValue(value=token))
        self.update(ids, Filter(must=[holds_token]))

    def set_mark(self, ids: Sequence[PointId], token: str) -> None:
        """See `MarkedPoints.set_mark`."""

        def send(ordering: WriteOrdering) -> UpdateResult:
            return self._connection.client.set_payload(
                self._name, {self._mark: token}, points=[*ids], wait=True, ordering=ordering
            )

        self._send(send)  # A row that went unmarked is not written, and tried again.

    def remove_mark(self, ids: Sequence[PointId]) -> None:
        """See `MarkedPoints.remove_mark`."""

        def send(ordering: WriteOrdering) -> UpdateResult:
            return self._connection.client.delete_payload(
                self._name, [self._mark], points=[*ids], wait=True, ordering=ordering
            )

        self._send(send)

    def _send(self, send: Callable[[WriteOrdering], UpdateResult]) -> None:
        """Send an update; that a point is gone is no error."""
        with suppress(PointNotFound):
            update_in_order(self._connection, self._name, send)


def index_mark(connection: Connection, name: str, info: CollectionInfo) -> None:
    """Index the mark's field where strict mode may refuse a condition on one that is not."""
    mark, strict = connection.settings.payload_mark, info.config.strict_mode_config
    if not mark or mark in info.payload_schema or strict is None or not strict.enabled:
        return
    with connection.translate_errors(f'"{name}"'):
        connection.client.create_payload_index(name, mark, PayloadSchemaType.KEYWORD, wait=True)


def _build_updates(points: Points, vector: str, build: BuildUpdate) -> dict[PointId, Any]:
    possible_ids = set(select_possible_ids(points.ids))
    return {
        point_id: build(point_id, row, vector)
        for point_id, row in zip(points.ids, points.vectors, strict=True)
        if point_id in possible_ids
    }


def _build_local_update(point_id: PointId, row: Float32, vector: str) -> PointVectors:
    return PointVectors(id=point_id, vector={vector: row.tolist()} if vector else row.tolist())
