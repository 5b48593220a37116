"""A Qdrant collection as a server describes it."""

from __future__ import annotations

from typing import Any

from qdrant_client.models import CollectionInfo

COSINE = {"size": 4, "distance": "Cosine"}


def make_collection_info(
    vectors: Any,
    *,
    sparse: Any = None,
    sharding: str | None = None,
    strict: dict[str, Any] | None = None,
    prevent_unoptimized: bool | None = None,
) -> CollectionInfo:
    return CollectionInfo.model_validate(
        {
            "status": "green",
            "optimizer_status": "ok",
            "points_count": 0,
            "segments_count": 1,
            "payload_schema": {},
            "config": {
                "params": {
                    "vectors": vectors,
                    "sparse_vectors": sparse,
                    "sharding_method": sharding,
                },
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1000,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                    "prevent_unoptimized": prevent_unoptimized,
                },
                "strict_mode_config": strict,
            },
        }
    )
