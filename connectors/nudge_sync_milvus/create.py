from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from nudge_sync.errors import CollectionNotFound, Unreachable
from nudge_sync_milvus.client import Wire, pairs
from nudge_sync_milvus.errors import IndexMissing

LoadState = common_pb2.LoadState
LOAD_SECONDS = 60.0
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a collection to be made."""

    name: str
    kind: int
    params: Mapping[str, str] = field(default_factory=dict)


def make_collection(
    wire: Wire,
    name: str,
    fields: Sequence[Field],
    index: Mapping[str, str],
    *,
    dynamic: bool = False,
) -> None:
    """Collection `name` with its index, loaded; whatever of that there is already stays.

    The first field is the primary key. The first FLOAT_VECTOR field gets the index.
    """
    vector = next(item.name for item in fields if item.kind == schema_pb2.DataType.FloatVector)
    if not exists(wire, name):
        _create(wire, name, fields, dynamic=dynamic)
    if not _indexed(wire, name, vector):
        request = milvus_pb2.CreateIndexRequest(
            collection_name=name, field_name=vector, extra_params=pairs(dict(index))
        )
        wire.call("CreateIndex", request)
    load(wire, name)


def exists(wire: Wire, name: str) -> bool:
    """Whether there is a collection `name`, or an alias."""
    try:
        wire.call("DescribeCollection", milvus_pb2.DescribeCollectionRequest(collection_name=name))
    except CollectionNotFound:
        return False
    return True


def load(wire: Wire, name: str) -> None:
    """Have the collection loaded when this returns: the one wait in this connector.

    Raises Unreachable after a minute.
    """
    wire.call("LoadCollection", milvus_pb2.LoadCollectionRequest(collection_name=name))
    deadline = time.monotonic() + LOAD_SECONDS
    while load_state(wire, name) != LoadState.LoadStateLoaded:
        if time.monotonic() > deadline:
            raise Unreachable(f'collection "{name}" is still being loaded; try again')
        time.sleep(POLL_SECONDS)


def load_state(wire: Wire, name: str) -> int:
    """The collection's LoadState: also that it does not exist."""
    request = milvus_pb2.GetLoadStateRequest(collection_name=name)
    try:
        return int(wire.call("GetLoadState", request).state)
    except CollectionNotFound:
        return int(LoadState.LoadStateNotExist)


def _create(wire: Wire, name: str, fields: Sequence[Field], *, dynamic: bool) -> None:
    schema = schema_pb2.CollectionSchema(name=name, enable_dynamic_field=dynamic)
    for place, item in enumerate(fields):
        schema.fields.add(
            name=item.name,
            data_type=item.kind,
            is_primary_key=place == 0,
            type_params=pairs(dict(item.params)),
        )
    request = milvus_pb2.CreateCollectionRequest(
        collection_name=name,
        schema=schema.SerializeToString(),
        shards_num=1,
        consistency_level=common_pb2.ConsistencyLevel.Strong,
    )
    wire.call("CreateCollection", request)


def _indexed(wire: Wire, name: str, vector: str) -> bool:
    request = milvus_pb2.DescribeIndexRequest(collection_name=name, field_name=vector)
    try:
        return bool(wire.call("DescribeIndex", request).index_descriptions)
    except IndexMissing:
        return False
