from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from nudge_sync.connector import Metric
from nudge_sync.errors import UnsupportedCollection
from nudge_sync_milvus.client import Wire
from nudge_sync_milvus.errors import IndexMissing

METRICS: dict[str, Metric] = {"COSINE": "cosine", "IP": "dot", "L2": "euclid"}
FLOAT_VECTOR = schema_pb2.DataType.FloatVector
VECTOR_TYPES = range(100, 200)
"""Milvus numbers its vector types from 100."""
META = "$meta"
ANY_PARTITION = ""


@dataclass(frozen=True, slots=True)
class Index:
    """The vector field's index."""

    kind: str = ""
    metric: str = ""
    params: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    pending: int = 0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the connector has to know of a collection to read and to write it."""

    name: str
    collection: str
    key: str
    integer_keys: bool
    key_bytes: int
    auto_id: bool
    vector: str
    default_vector: bool
    dimension: int
    fields: tuple[str, ...]
    """Every field a row has, the dynamic one included; those a function computes left out."""
    structs: tuple[str, ...]
    partitions: tuple[str, ...]
    """Those a write has to name; one ANY_PARTITION where Milvus finds the right one by itself."""
    row_bytes: int
    """What the vectors of one row take; the least a whole row takes."""
    changed: int
    """When the schema last changed, by the server's clock; 0 where it does not say."""


def layout(wire: Wire, name: str, vector: str) -> Layout:
    """How collection `name`, which may be an alias, and its `vector` look now.

    Raises CollectionNotFound, UnsupportedCollection.
    """
    answer = wire.call(
        "DescribeCollection", milvus_pb2.DescribeCollectionRequest(collection_name=name)
    )
    schema = answer.schema
    key = next(item for item in schema.fields if item.is_primary_key)
    chosen = _vector(schema, name, vector)
    return Layout(
        name=name,
        collection=schema.name if name in answer.aliases else answer.collection_name or name,
        key=key.name,
        integer_keys=key.data_type == schema_pb2.DataType.Int64,
        key_bytes=int(_option(key.type_params, "max_length", "65535")),
        auto_id=key.autoID or schema.autoID,
        vector=chosen.name,
        default_vector=chosen.name == _float_vectors(schema)[0].name,
        dimension=_dimension(chosen),
        fields=_row_fields(schema),
        structs=tuple(item.name for item in getattr(schema, "struct_array_fields", ())),
        partitions=_partitions(wire, name, answer),
        row_bytes=sum(4 * _dimension(item) for item in _vectors(schema)),
        changed=int(getattr(answer, "update_timestamp", 0)),
    )


def _vector(schema: Any, name: str, vector: str) -> Any:
    known = [item.name for item in _vectors(schema)]
    usable = _float_vectors(schema)
    listed = ", ".join(map(repr, known)) or "none"
    if not usable:
        raise UnsupportedCollection(
            f'collection "{name}" has no FLOAT_VECTOR field (vector fields: {listed}); only '
            "32-bit vectors can be moved: copy the collection into one with such a field"
        )
    if not vector:
        if len(usable) > 1:
            raise UnsupportedCollection(
                f'collection "{name}" has several vector fields ({listed}); '
                "say which one with `vector`"
            )
        return usable[0]
    found = next((item for item in usable if item.name == vector), None)
    if found is None:
        why = "is not a FLOAT_VECTOR" if vector in known else "does not exist"
        raise UnsupportedCollection(
            f'field "{vector}" of collection "{name}" {why}; its vector fields are: {listed}'
        )
    return found


def _vectors(schema: Any) -> list[Any]:
    return [item for item in schema.fields if item.data_type in VECTOR_TYPES]


def _float_vectors(schema: Any) -> list[Any]:
    return [
        item
        for item in schema.fields
        if item.data_type == FLOAT_VECTOR and not getattr(item, "is_function_output", False)
    ]


def _row_fields(schema: Any) -> tuple[str, ...]:
    own = [item.name for item in schema.fields if not getattr(item, "is_function_output", False)]
    return (*own, META) if schema.enable_dynamic_field and META not in own else tuple(own)


def _dimension(item: Any) -> int:
    return int(_option(item.type_params, "dim", "0"))


def _option(options: Sequence[Any], key: str, default: str) -> str:
    return next((str(option.value) for option in options if option.key == key), default)


def _partitions(wire: Wire, name: str, answer: Any) -> tuple[str, ...]:
    alone = answer.num_partitions == 1
    by_key = any(item.is_partition_key for item in answer.schema.fields)
    if by_key or alone:
        return (ANY_PARTITION,)
    shown = wire.call("ShowPartitions", milvus_pb2.ShowPartitionsRequest(collection_name=name))
    names = tuple(str(partition) for partition in shown.partition_names)
    return names if len(names) > 1 else (ANY_PARTITION,)


def index_of(wire: Wire, shape: Layout) -> Index:
    """The index on the layout's vector; an empty one where there is none."""
    request = milvus_pb2.DescribeIndexRequest(
        collection_name=shape.collection, field_name=shape.vector
    )
    try:
        found = wire.call("DescribeIndex", request).index_descriptions
    except IndexMissing:
        return Index()
    item = next((item for item in found if item.field_name == shape.vector), None)
    if item is None:
        return Index()
    params = {str(pair.key): str(pair.value) for pair in item.params}
    return Index(
        kind=params.get("index_type", ""),
        metric=params.get("metric_type", ""),
        params=params,
        rows=int(item.total_rows),
        pending=int(item.pending_index_rows),
        failure=str(item.index_state_fail_reason),
    )
