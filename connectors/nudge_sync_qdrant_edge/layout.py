"""Which vector of a shard is meant, and what stands in the way of writing it."""

from __future__ import annotations

import json

from nudge_sync_qdrant_common.layout import Layout, build_layout


def resolve_layout(name: str, vector: str, config: str) -> Layout:
    """Return the layout of `vector`; "" is the default one, or the only one there is.

    config: the shard's configuration as the engine stores it, JSON text.
    Raises UnsupportedCollection for a vector that is not there, sparse, a multi-vector or of
    another distance.
    """
    settings = json.loads(config)
    dense, sparse = settings.get("vectors") or {}, settings.get("sparse_vectors") or {}
    return build_layout(name, vector, dense, list(sparse))
