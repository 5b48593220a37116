"""The shards that the sidecar makes for its records."""

from __future__ import annotations

import json
from collections.abc import Sequence

from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeVectorParams,
    Memory,
    PayloadSchemaType,
    UpdateOperation,
)

from nudge_sync_qdrant_common.record_codec import TERMS_FIELD, build_number_path
from nudge_sync_qdrant_edge.client import Shards
from nudge_sync_qdrant_edge.errors import translate_errors


def ensure_records_collection(
    shards: Shards, name: str, dimension: int, indexed: Sequence[str]
) -> int:
    """Make the shard and its payload indexes where they are not there yet.

    Returns how many numbers its vectors have: one that was there already may have been made for
    another dimension.
    """
    if shards.find(name) is None:
        shards.create(name, _build_config(dimension))
    shard = shards.get(name)
    with translate_errors(name):
        known = set(shard.info().payload_schema)
    schema_by_field = {TERMS_FIELD: PayloadSchemaType.Keyword} | {
        build_number_path(field): PayloadSchemaType.Float for field in indexed
    }
    for field, schema in schema_by_field.items():
        if field not in known:
            shards.update(name, UpdateOperation.create_field_index(field, schema))
    return int(json.loads(shards.read_config(name))["vectors"][""]["size"])


def _build_config(dimension: int) -> EdgeConfig:
    # Dot, because cosine rescales. Where there is no vector one number stays unused: the engine
    # wants at least one.
    size = max(dimension, 1)
    params = EdgeVectorParams(size=size, distance=Distance.Dot, memory=Memory.Cold)
    return EdgeConfig(vectors=params, payload_memory=Memory.Cold)
