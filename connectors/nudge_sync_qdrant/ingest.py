"""What an application does: fill a collection; for the demo, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client.models import Distance, PointStruct, VectorParams

from nudge_sync.connector import Float32, Metric, PointId
from nudge_sync_qdrant.database import QdrantDatabase

_DISTANCES = {"cosine": Distance.COSINE, "dot": Distance.DOT, "euclid": Distance.EUCLID}
"""Metrics in Qdrant's words."""
_BATCH_ROWS = 500
"""Points of one request."""


def ingest(
    database: QdrantDatabase,
    name: str,
    ids: Sequence[PointId],
    vectors: Float32,
    payloads: Sequence[dict[str, Any]] | None = None,
    *,
    metric: Metric = "cosine",
    vector: str = "",
) -> None:
    """Create the collection `name` and upsert its points: vectors (n, d), a payload a row.

    Raises DatabaseError if there is such a collection already.
    """
    connection = database.connection
    params = VectorParams(size=vectors.shape[1], distance=_DISTANCES[metric])
    with connection.translate_errors(f'"{name}"'):
        connection.client.create_collection(
            name, vectors_config={vector: params} if vector else params
        )
        for start in range(0, len(ids), _BATCH_ROWS):
            points = [
                PointStruct(
                    id=point_id,
                    vector={vector: vectors[row].tolist()} if vector else vectors[row].tolist(),
                    payload=payloads[row] if payloads is not None else {},
                )
                for row, point_id in enumerate(ids[start : start + _BATCH_ROWS], start)
            ]
            connection.client.upsert(name, points, wait=True)
