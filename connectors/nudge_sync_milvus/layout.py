"""What a collection is made of, and what stands in the way of writing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from nudge_sync.connector import Metric, PointId
from nudge_sync.errors import UnsupportedCollection
from nudge_sync_milvus.client import Connection
from nudge_sync_milvus.errors import IndexNotFound
from nudge_sync_milvus.filters import is_possible_key

METRICS: dict[str, Metric] = {"COSINE": "cosine", "IP": "dot", "L2": "euclid"}
"""Milvus's metrics that nudge-sync knows."""
VECTOR_TYPES = range(100, 200)
"""Milvus numbers its vector types from 100."""
DYNAMIC_FIELD = "$meta"
"""Where Milvus keeps the fields that no schema names."""
ANY_PARTITION = ""
"""Stands for whichever partition Milvus chooses."""
_FLOAT_VECTOR = schema_pb2.DataType.FloatVector
"""The one type of vector that is written."""


@dataclass(frozen=True, slots=True)
class UpsertSupport:
    """What an upsert does on this server, by its version."""

    is_partial: bool
    """Whether it may carry the vector alone."""
    keeps_auto_ids: bool
    """Whether a row keeps the primary key that the server once made for it."""


@dataclass(frozen=True, slots=True)
class VectorIndex:
    """The vector field's index."""

    kind: str = ""
    """Such as HNSW; "" where there is no index."""
    metric: str = ""
    """In Milvus's words."""
    params: dict[str, str] = field(default_factory=dict)
    """All that Milvus says of it."""
    row_count: int = 0
    pending_rows: int = 0
    """Rows that are not indexed yet."""
    failure: str = ""
    """Why indexing failed, if it did."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the connector has to know of a collection to read and to write it."""

    name: str
    collection: str
    key_field: str
    integer_keys: bool
    max_key_bytes: int
    auto_id: bool
    vector: str
    is_default_vector: bool
    dimension: int
    fields: tuple[str, ...]
    """Every field a row has, the dynamic one included; those a function computes left out."""
    struct_fields: tuple[str, ...]
    partitions: tuple[str, ...]
    """Those a write has to name; one ANY_PARTITION where Milvus finds the right one by itself."""
    min_row_bytes: int
    """What the vectors of one row take; the least a whole row takes."""
    schema_timestamp: int
    """When the schema last changed, by the server's clock; 0 where it does not say."""

    def is_possible_id(self, point_id: PointId) -> bool:
        """Return whether the primary key field can hold this id."""
        return is_possible_key(point_id, integers=self.integer_keys, max_bytes=self.max_key_bytes)


def resolve_layout(connection: Connection, name: str, vector: str) -> Layout:
    """Return what the collection `name`, which may be an alias, and its `vector` are now.

    Raises CollectionNotFound, UnsupportedCollection.
    """
    answer = connection.call(
        "DescribeCollection", milvus_pb2.DescribeCollectionRequest(collection_name=name)
    )
    schema = answer.schema
    key_field = next(item for item in schema.fields if item.is_primary_key)
    vector_field = _choose_vector_field(schema, name, vector)
    return Layout(
        name=name,
        collection=schema.name if name in answer.aliases else answer.collection_name or name,
        key_field=key_field.name,
        integer_keys=key_field.data_type == schema_pb2.DataType.Int64,
        max_key_bytes=int(_get_option(key_field.type_params, "max_length", "65535")),
        auto_id=key_field.autoID or schema.autoID,
        vector=vector_field.name,
        is_default_vector=vector_field.name == _list_float_vector_fields(schema)[0].name,
        dimension=get_dimension(vector_field),
        fields=_list_row_fields(schema),
        struct_fields=tuple(item.name for item in getattr(schema, "struct_array_fields", ())),
        partitions=_list_partitions(connection, name, answer),
        min_row_bytes=sum(4 * get_dimension(item) for item in _list_vector_fields(schema)),
        schema_timestamp=int(getattr(answer, "update_timestamp", 0)),
    )


def _choose_vector_field(schema: Any, name: str, vector: str) -> Any:
    vector_names = [item.name for item in _list_vector_fields(schema)]
    usable = _list_float_vector_fields(schema)
    listed = ", ".join(map(repr, vector_names)) or "none"
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
    vector_field = next((item for item in usable if item.name == vector), None)
    if vector_field is None:
        reason = "is not a FLOAT_VECTOR" if vector in vector_names else "does not exist"
        raise UnsupportedCollection(
            f'field "{vector}" of collection "{name}" {reason}; its vector fields are: {listed}'
        )
    return vector_field


def _list_vector_fields(schema: Any) -> list[Any]:
    return [item for item in schema.fields if item.data_type in VECTOR_TYPES]


def _list_float_vector_fields(schema: Any) -> list[Any]:
    return [
        item
        for item in schema.fields
        if item.data_type == _FLOAT_VECTOR and not getattr(item, "is_function_output", False)
    ]


def _list_row_fields(schema: Any) -> tuple[str, ...]:
    own = [item.name for item in schema.fields if not getattr(item, "is_function_output", False)]
    return (
        (*own, DYNAMIC_FIELD)
        if schema.enable_dynamic_field and DYNAMIC_FIELD not in own
        else tuple(own)
    )


def get_dimension(item: Any) -> int:
    """Return how many numbers the vectors of a field have, by its schema."""
    return int(_get_option(item.type_params, "dim", "0"))


def _get_option(options: Sequence[Any], key: str, default: str) -> str:
    return next((str(option.value) for option in options if option.key == key), default)


def _list_partitions(connection: Connection, name: str, answer: Any) -> tuple[str, ...]:
    has_partition_key = any(item.is_partition_key for item in answer.schema.fields)
    if has_partition_key or answer.num_partitions == 1:
        return (ANY_PARTITION,)
    response = connection.call(
        "ShowPartitions", milvus_pb2.ShowPartitionsRequest(collection_name=name)
    )
    names = tuple(str(partition) for partition in response.partition_names)
    return names if len(names) > 1 else (ANY_PARTITION,)


def describe_index(connection: Connection, layout: Layout) -> VectorIndex:
    """Return the index on the layout's vector; an empty one where there is none."""
    request = milvus_pb2.DescribeIndexRequest(
        collection_name=layout.collection, field_name=layout.vector
    )
    try:
        descriptions = connection.call("DescribeIndex", request).index_descriptions
    except IndexNotFound:
        return VectorIndex()
    description = next(
        (description for description in descriptions if description.field_name == layout.vector),
        None,
    )
    if description is None:
        return VectorIndex()
    params = {str(pair.key): str(pair.value) for pair in description.params}
    return VectorIndex(
        kind=params.get("index_type", ""),
        metric=params.get("metric_type", ""),
        params=params,
        row_count=int(description.total_rows),
        pending_rows=int(description.pending_index_rows),
        failure=str(description.index_state_fail_reason),
    )


def list_problems(layout: Layout, support: UpsertSupport) -> Iterator[str]:
    """Yield what stands in the way of writing the collection."""
    if layout.auto_id and not support.keeps_auto_ids:
        yield (
            f'collection "{layout.name}" makes its primary keys by itself (auto_id); an upsert '
            "would fail or change them on this server: copy it into a collection with keys of your "
            "own, or update to Milvus 3.0.2 or later"
        )
    if layout.struct_fields and not support.is_partial:
        yield (
            f'collection "{layout.name}" has struct fields, which only Milvus 2.6.2 and later '
            "can leave alone in an upsert: update the server"
        )


def list_index_problems(layout: Layout, index: VectorIndex, *, is_loaded: bool) -> Iterator[str]:
    """Yield what stands in the way of searching the collection."""
    if not index.kind:
        yield f'field "{layout.vector}" has no index; create one and load the collection'
    elif index.metric not in METRICS:
        yield f'metric {index.metric} of field "{layout.vector}" is not supported'
    if not is_loaded:
        yield explain_not_loaded(layout)


def explain_not_loaded(layout: Layout) -> str:
    """Return what is wrong with a collection that is not loaded, and what to do."""
    return f'collection "{layout.name}" is not loaded; load it'


def require_metric(layout: Layout, index: VectorIndex) -> Metric:
    """Return the index's metric. Raises UnsupportedCollection where it has none that is known."""
    metric = METRICS.get(index.metric)
    if metric is None:
        raise UnsupportedCollection(
            f'field "{layout.vector}" of collection "{layout.name}" has no index with metric '
            "COSINE, IP or L2; create one and load the collection"
        )
    return metric
