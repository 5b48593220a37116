"""The collections that the sidecar makes for its records."""

from __future__ import annotations

from collections.abc import Sequence

from qdrant_client.models import (
    CollectionInfo,
    Distance,
    HnswConfigDiff,
    OptimizersConfigDiff,
    PayloadSchemaType,
    StrictModeConfig,
    VectorParams,
)

from nudge_sync.errors import DatabaseError
from nudge_sync_qdrant.client import Connection
from nudge_sync_qdrant.record_codec import VECTOR_NAME
from nudge_sync_qdrant.replicas import choose_creation_options
from nudge_sync_qdrant_common.record_codec import TERMS_FIELD, build_number_path

_READ_UNOPTIMISED = OptimizersConfigDiff(prevent_unoptimized=False)
"""What was put can be read before it is indexed, whatever the server's own default is."""
_STRICT_MODE_OFF = StrictModeConfig(enabled=False)
"""The connector bounds its requests by itself, whatever the server's own default is."""


def ensure_records_collection(
    connection: Connection, name: str, dimension: int, indexed: Sequence[str], beside: str = ""
) -> int:
    """Make the collection and its payload indexes where they are not there yet.

    beside: the collection whose number of copies and shards it gets; "" for none.
    Returns how many numbers its vectors have, 0 where it has none: one that was there already may
    have been made for another dimension.
    """
    if not has_collection(connection, name):
        _create_collection(connection, name, dimension, beside)
    with connection.translate_errors(f'"{name}"'):
        info = connection.client.get_collection(name)
    _create_indexes(connection, name, indexed, set(info.payload_schema))
    return _read_vector_size(info)


def has_collection(connection: Connection, name: str) -> bool:
    """Return whether there is a collection `name`."""
    with connection.translate_errors(f'"{name}"'):
        return connection.client.collection_exists(name)


def _create_collection(connection: Connection, name: str, dimension: int, beside: str) -> None:
    # Dot, because cosine rescales; m=0: nobody searches here, so no graph is built.
    params = VectorParams(
        size=dimension, distance=Distance.DOT, on_disk=True, hnsw_config=HnswConfigDiff(m=0)
    )
    # What has no vectors is small: one shard is enough.
    options = choose_creation_options(connection, beside, is_small=not dimension)
    try:
        with connection.translate_errors(f'"{name}"'):
            connection.client.create_collection(
                name,
                vectors_config={VECTOR_NAME: params} if dimension else {},
                on_disk_payload=True,
                replication_factor=options.replication_factor,
                write_consistency_factor=options.write_consistency_factor,
                shard_number=options.shard_number,
                optimizers_config=_READ_UNOPTIMISED,
                strict_mode_config=_STRICT_MODE_OFF,
            )
    except DatabaseError as error:
        # Another process may have been first.
        if error.transient or not has_collection(connection, name):
            raise


def _read_vector_size(info: CollectionInfo) -> int:
    vectors = info.config.params.vectors
    params = vectors.get(VECTOR_NAME) if isinstance(vectors, dict) else None
    return params.size if params is not None else 0


def _create_indexes(
    connection: Connection, name: str, indexed: Sequence[str], known: set[str]
) -> None:
    if connection.is_local:
        return  # Local mode has no payload indexes, and warns of it.
    schema_by_field = {TERMS_FIELD: PayloadSchemaType.KEYWORD} | {
        build_number_path(field): PayloadSchemaType.FLOAT for field in indexed
    }
    for field, schema in schema_by_field.items():
        if field not in known:
            with connection.translate_errors(f'"{name}"'):
                connection.client.create_payload_index(name, field, schema, wait=True)
