"""qdrant-edge for write_rate.py."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

from qdrant_edge import PointVectors, UpdateOperation
from write_rate import Engine, unit_rows

from nudge_sync.connector import Float32, connect
from nudge_sync_qdrant_edge import ingest


def open_engine(points: int, dimension: int) -> Engine:
    directory = tempfile.TemporaryDirectory(prefix="nudge-sync-")
    database = connect("qdrant-edge", {"path": directory.name})
    ingest(database, "docs", range(points), unit_rows(points, dimension, seed=99))
    shard = database.shard("docs")

    def update(ids: Sequence[int], vectors: Float32) -> None:
        batch = [PointVectors(i, row.tolist()) for i, row in zip(ids, vectors, strict=True)]
        shard.update(UpdateOperation.update_vectors(batch))

    def close() -> None:
        database.close()
        directory.cleanup()

    return Engine("qdrant-edge", 0.25, database.collection("docs"), update, close)
