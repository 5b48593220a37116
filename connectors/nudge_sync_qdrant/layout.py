"""Which vector of a collection is meant, and what stands in the way of writing it."""

from __future__ import annotations

from typing import Any

from qdrant_client.models import CollectionInfo, ShardingMethod

from nudge_sync_qdrant_common.layout import Layout, build_layout


def resolve_layout(name: str, vector: str, info: CollectionInfo) -> Layout:
    """Return the layout of `vector`; "" is the default one, or the only one there is.

    Raises UnsupportedCollection for a vector that is not there, sparse, a multi-vector or of
    another distance.
    """
    sparse = info.config.params.sparse_vectors or {}
    return build_layout(
        name, vector, _describe_dense_vectors(info), list(sparse), _list_problems(name, info)
    )


def _describe_dense_vectors(info: CollectionInfo) -> dict[str, dict[str, Any]]:
    vectors = info.config.params.vectors
    if vectors is None:
        return {}
    named = vectors if isinstance(vectors, dict) else {"": vectors}
    return {name: params.model_dump(mode="json") for name, params in named.items()}


def _list_problems(name: str, info: CollectionInfo) -> list[str]:
    problems = []
    if info.config.params.sharding_method == ShardingMethod.CUSTOM:
        problems.append(
            f'"{name}" has custom sharding, where each write has to name its shard key; '
            "automatic sharding would work"
        )
    if info.config.optimizer_config.prevent_unoptimized:
        # From 1.17.1: reads then give older copies of points whose update waits for the index.
        problems.append(
            f'"{name}" has prevent_unoptimized set, under which an update that the application '
            "just made can be neither read nor compared, and so would be overwritten; without "
            "that setting it would work"
        )
    return problems
