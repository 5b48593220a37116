"""The engine qdrant-edge for write_rate.py: a shard in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

from qdrant_edge import PointVectors, UpdateOperation
from write_rate import Engine

from nudge_sync.connector import Float32, connect
from nudge_sync_qdrant_edge import ingest
from tests.support.unit_vectors import make_unit_rows


def open_engine(points: int, dimension: int) -> Engine:
    directory = tempfile.TemporaryDirectory(prefix="nudge-sync-")
    database = connect("qdrant-edge", {"path": directory.name})
    ingest(database, "docs", range(points), make_unit_rows(points, dimension, seed=99))
    shard = database.shard("docs")

    def update(ids: Sequence[int], vectors: Float32) -> None:
        batch = [PointVectors(i, row.tolist()) for i, row in zip(ids, vectors, strict=True)]
        shard.update(UpdateOperation.update_vectors(batch))

    def close() -> None:
        database.close()
        directory.cleanup()

    return Engine("qdrant-edge", 0.25, database.collection("docs"), update, close)
