"""Collections that are made here: the sidecar's own for its records, and those of `ingest`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from nudge_sync.errors import CollectionNotFound, Unreachable
from nudge_sync_milvus.client import Connection, to_key_value_pairs
from nudge_sync_milvus.errors import IndexNotFound
from nudge_sync_milvus.layout import get_dimension
from nudge_sync_milvus.record_codec import (
    INDEX_FIELD,
    KEY_FIELD,
    MAX_TEXT_BYTES,
    MIN_DIMENSION,
    TEXT_FIELDS,
    VECTOR_FIELD,
)
from nudge_sync_milvus.replicas import LoadOptions, build_load_request

LoadState = common_pb2.LoadState
"""Milvus's enum: does not exist, not loaded, loading, loaded."""
_LOAD_TIMEOUT_SECONDS = 60.0
"""How long a collection may take to be loaded."""
_POLL_SECONDS = 0.1
"""Between two looks at whether it is."""
_MAX_KEY_BYTES = 160
"""Of a record's primary key: a SHA-256 in hexadecimal, or a claim made of one."""


@dataclass(frozen=True, slots=True)
class FieldSchema:
    """A field of a collection to be made."""

    name: str
    kind: int
    """Milvus's DataType."""
    params: Mapping[str, str] = field(default_factory=dict)
    """Such as dim or max_length."""


def ensure_records_collection(
    connection: Connection, name: str, dimension: int, options: LoadOptions
) -> None:
    """Make the collection of the sidecar's records, and load it, where that is still to do."""
    text, vector = schema_pb2.DataType.VarChar, schema_pb2.DataType.FloatVector
    fields = [
        FieldSchema(KEY_FIELD, text, {"max_length": str(_MAX_KEY_BYTES)}),
        FieldSchema(VECTOR_FIELD, vector, {"dim": str(max(dimension, MIN_DIMENSION))}),
        FieldSchema(INDEX_FIELD, schema_pb2.DataType.JSON),
        *(FieldSchema(field, text, {"max_length": str(MAX_TEXT_BYTES)}) for field in TEXT_FIELDS),
    ]
    index = {"index_type": "FLAT", "metric_type": "IP"}
    ensure_collection(connection, name, fields, index, options=options)


def ensure_collection(
    connection: Connection,
    name: str,
    fields: Sequence[FieldSchema],
    index: Mapping[str, str],
    *,
    dynamic: bool = False,
    options: LoadOptions | None = None,
) -> None:
    """Make the collection with its index, and load it; what there is already stays as it is.

    The first field is the primary key. The first FLOAT_VECTOR field gets the index.
    dynamic: whether rows may hold fields that are not in `fields`.
    options: in how many copies it is loaded, and where; one if absent.
    """
    vector_field = next(
        item.name for item in fields if item.kind == schema_pb2.DataType.FloatVector
    )
    if not has_collection(connection, name):
        _create_collection(connection, name, fields, dynamic=dynamic)
    if not _has_index(connection, name, vector_field):
        request = milvus_pb2.CreateIndexRequest(
            collection_name=name,
            field_name=vector_field,
            extra_params=to_key_value_pairs(dict(index)),
        )
        connection.call("CreateIndex", request)
    load_collection(connection, name, options)


def read_vector_size(connection: Connection, name: str) -> int:
    """Return how many numbers the vectors of a collection of records have.

    It may have been made for another dimension. Raises CollectionNotFound.
    """
    answer = connection.call(
        "DescribeCollection", milvus_pb2.DescribeCollectionRequest(collection_name=name)
    )
    (vector_field,) = (item for item in answer.schema.fields if item.name == VECTOR_FIELD)
    return get_dimension(vector_field)


def has_collection(connection: Connection, name: str) -> bool:
    """Return whether there is a collection `name`, or an alias."""
    try:
        connection.call(
            "DescribeCollection", milvus_pb2.DescribeCollectionRequest(collection_name=name)
        )
    except CollectionNotFound:
        return False
    return True


def load_collection(connection: Connection, name: str, options: LoadOptions | None = None) -> None:
    """Load the collection, and wait until it is: the one wait in this connector.

    options: in how many copies, and where; as Milvus does by default if absent.
    Raises Unreachable after a minute.
    """
    request = (
        build_load_request(name, options)
        if options
        else milvus_pb2.LoadCollectionRequest(collection_name=name)
    )
    connection.call("LoadCollection", request)
    deadline = time.monotonic() + _LOAD_TIMEOUT_SECONDS
    while get_load_state(connection, name) != LoadState.LoadStateLoaded:
        if time.monotonic() > deadline:
            raise Unreachable(f'collection "{name}" is still being loaded; try again')
        time.sleep(_POLL_SECONDS)


def get_load_state(connection: Connection, name: str) -> int:
    """Return the collection's LoadState, which also says that it does not exist."""
    request = milvus_pb2.GetLoadStateRequest(collection_name=name)
    try:
        return int(connection.call("GetLoadState", request).state)
    except CollectionNotFound:
        return int(LoadState.LoadStateNotExist)


def _create_collection(
    connection: Connection, name: str, fields: Sequence[FieldSchema], *, dynamic: bool
) -> None:
    schema = schema_pb2.CollectionSchema(name=name, enable_dynamic_field=dynamic)
    for position, item in enumerate(fields):
        schema.fields.add(
            name=item.name,
            data_type=item.kind,
            is_primary_key=position == 0,
            type_params=to_key_value_pairs(dict(item.params)),
        )
    request = milvus_pb2.CreateCollectionRequest(
        collection_name=name,
        schema=schema.SerializeToString(),
        shards_num=1,
        consistency_level=common_pb2.ConsistencyLevel.Strong,
    )
    connection.call("CreateCollection", request)


def _has_index(connection: Connection, name: str, vector: str) -> bool:
    request = milvus_pb2.DescribeIndexRequest(collection_name=name, field_name=vector)
    try:
        return bool(connection.call("DescribeIndex", request).index_descriptions)
    except IndexNotFound:
        return False
