"""A Qdrant collection as a server describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdrant_client.models import CollectionInfo

COSINE = {"size": 4, "distance": "Cosine"}


def make_cluster_status(silent: Mapping[int, str] | None = None, nodes: int = 3) -> dict[str, Any]:
    """Return the answer to GET /cluster of the first of `nodes` nodes, numbered from 1.

    silent: those that it cannot reach, each with the error it had last.
    """
    addresses = {peer: f"http://127.0.0.1:{6335 + 10 * peer}/" for peer in range(1, nodes + 1)}
    return {
        "status": "enabled",
        "peer_id": 1,
        "peers": {str(peer): {"uri": address} for peer, address in addresses.items()},
        "raft_info": {
            "term": 1,
            "commit": 12,
            "pending_operations": 0,
            "leader": 1,
            "role": "Leader",
            "is_voter": True,
        },
        "consensus_thread_status": {
            "consensus_thread_status": "working",
            "last_update": "2026-05-01T12:00:00.000000Z",
        },
        "message_send_failures": {
            addresses[peer]: {"count": 4, "latest_error": text}
            for peer, text in (silent or {}).items()
        },
    }


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
