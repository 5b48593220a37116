"""The operations of `EdgeCollection.write`: update vectors, on a mark where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from uuid import UUID

from qdrant_edge import FieldCondition, Filter, MatchValue, PointVectors, UpdateOperation

from nudge_sync.connector import Float32, PointId, Points, WriteReport
from nudge_sync_qdrant_common.guarded_write import compare_and_write, update_marked, write_batches
from nudge_sync_qdrant_common.ids import select_possible_ids
from nudge_sync_qdrant_edge.client import Shards
from nudge_sync_qdrant_edge.errors import PointNotFound
from nudge_sync_qdrant_edge.query import PointReader

_WRITE_BATCH_ROWS = 100
"""Few, because a row is open to being overwritten from its batch's read to its batch's update."""


class GuardedWrite:
    """Writes to one vector of a shard; see `EdgeCollection` for the window."""

    def __init__(
        self, shards: Shards, name: str, vector: str, reader: PointReader, *, mark: str | None
    ) -> None:
        self._shards = shards
        self._name = name
        self._vector = vector
        self._reader = reader
        self._mark = mark

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """Write rows that have been checked, a batch at a time, and report on each."""
        return write_batches(points, expected, _WRITE_BATCH_ROWS, self._write_batch)

    def _write_batch(self, points: Points, expected: Float32) -> WriteReport:
        # Made before the compare, so that an update follows it at once.
        updates = _build_updates(points, self._vector)
        batch = _Batch(self._shards, self._name, str(self._mark), updates, points.vectors.nbytes)

        def update(pending: Points, pending_expected: Float32) -> None:
            if self._mark:
                update_marked(pending, pending_expected, engine=batch, read=self._reader.read)
            else:
                batch.update(pending.ids)

        return compare_and_write(
            points, expected, read=self._reader.read, update=update, subject=f'"{self._name}"'
        )


class _Batch:
    """The operations that write one batch of rows."""

    def __init__(
        self,
        shards: Shards,
        name: str,
        mark: str,
        updates: Mapping[PointId, PointVectors],
        byte_count: int,
    ) -> None:
        self._shards = shards
        self._name = name
        self._mark = mark
        self._updates = updates
        self._byte_count = byte_count

    def update(self, ids: Sequence[PointId], condition: Filter | None = None) -> None:
        """Apply the new vectors of these points; rows that do not meet the condition stay."""
        updates = [self._updates[point_id] for point_id in ids]
        self._apply(UpdateOperation.update_vectors(updates, condition), byte_count=self._byte_count)

    def update_marked(self, ids: Sequence[PointId], token: str) -> None:
        """See `MarkedPoints.update_marked`."""
        self.update(ids, Filter(must=[FieldCondition(self._mark, MatchValue(token))]))

    def set_mark(self, ids: Sequence[PointId], token: str) -> None:
        """See `MarkedPoints.set_mark`."""
        edge_ids: list[int | UUID | str] = [*ids]
        self._apply(UpdateOperation.set_payload(edge_ids, {self._mark: token}))

    def remove_mark(self, ids: Sequence[PointId]) -> None:
        """See `MarkedPoints.remove_mark`."""
        edge_ids: list[int | UUID | str] = [*ids]
        self._apply(UpdateOperation.delete_payload(edge_ids, [self._mark]))

    def _apply(self, operation: UpdateOperation, byte_count: int = 0) -> None:
        # Raised after others of the batch were changed: the read-back sorts it out.
        with suppress(PointNotFound):
            self._shards.update(self._name, operation, byte_count=byte_count)


def _build_updates(points: Points, vector: str) -> dict[PointId, PointVectors]:
    possible_ids = set(select_possible_ids(points.ids))
    # A row at a time: freeing its floats at once is twice as fast as one large `tolist`.
    lists = (row.tolist() for row in points.vectors)
    return {
        point_id: PointVectors(point_id, {vector: row} if vector else row)
        for point_id, row in zip(points.ids, lists, strict=True)
        if point_id in possible_ids
    }
