"""What an application does: fill a collection; for the demo, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from qdrant_edge import Point, UpdateOperation

from nudge_sync.connector import Float32, Metric, PointId, require_room
from nudge_sync_qdrant_edge.client import RESERVE_BYTES
from nudge_sync_qdrant_edge.database import EdgeDatabase
from nudge_sync_qdrant_edge.errors import translate_errors

_BATCH_ROWS = 1000
"""Points of one operation."""


def ingest(
    database: EdgeDatabase,
    name: str,
    ids: Sequence[PointId],
    vectors: Float32,
    payloads: Sequence[dict[str, Any]] | None = None,
    *,
    metric: Metric = "cosine",
    vector: str = "",
) -> None:
    """Create the collection `name` and upsert its points: vectors (n, d), a payload a row.

    Raises InputError if there is such a collection already, and DiskFull.
    """
    database.create_collection(name, vectors.shape[1], metric, vector)
    shard = database.shard(name)
    with translate_errors(name):
        for start in range(0, len(ids), _BATCH_ROWS):
            points = [
                Point(
                    UUID(point_id) if isinstance(point_id, str) else point_id,
                    {vector: vectors[row].tolist()},
                    payloads[row] if payloads is not None else {},
                )
                for row, point_id in enumerate(ids[start : start + _BATCH_ROWS], start)
            ]
            byte_count = vectors[start : start + len(points)].nbytes
            require_room(database.path, RESERVE_BYTES + 3 * byte_count)
            shard.update(UpdateOperation.upsert_points(points))
        shard.flush()
