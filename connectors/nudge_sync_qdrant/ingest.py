"""Fill a collection: what an application does; for the demo, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client.models import Distance, PointStruct, VectorParams

from nudge_sync.connector import Float32, Metric, PointId
from nudge_sync_qdrant.database import QdrantDatabase

_DISTANCES = {"cosine": Distance.COSINE, "dot": Distance.DOT, "euclid": Distance.EUCLID}
_ROWS = 500


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
    session = database.session
    params = VectorParams(size=vectors.shape[1], distance=_DISTANCES[metric])
    with session.asking(f'"{name}"'):
        session.client.create_collection(
            name, vectors_config={vector: params} if vector else params
        )
        for start in range(0, len(ids), _ROWS):
            points = [
                PointStruct(
                    id=point_id,
                    vector={vector: vectors[row].tolist()} if vector else vectors[row].tolist(),
                    payload=payloads[row] if payloads is not None else {},
                )
                for row, point_id in enumerate(ids[start : start + _ROWS], start)
            ]
            session.client.upsert(name, points, wait=True)
