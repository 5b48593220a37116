"""What an application does: fill a collection; for the demo, tests and benchmarks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from nudge_sync.connector import Float32, Metric, PointId
from nudge_sync.errors import ConfigError
from nudge_sync_milvus.columns import build_json_column, build_key_column, build_vector_column
from nudge_sync_milvus.create import FieldSchema, ensure_collection, has_collection
from nudge_sync_milvus.database import MilvusDatabase
from nudge_sync_milvus.layout import DYNAMIC_FIELD, METRICS

_BATCH_ROWS = 1_000
"""Points of one request."""


def ingest(
    database: MilvusDatabase,
    name: str,
    ids: Sequence[PointId],
    vectors: Float32,
    payloads: Sequence[Mapping[str, Any]],
    *,
    metric: Metric = "cosine",
) -> None:
    """Create the collection `name`, loaded, and insert its points.

    ids: all integers or all strings.  vectors: (n, d).  payloads: kept as dynamic fields.
    Raises ConfigError where the collection is there already.
    """
    connection = database.connection
    if has_collection(connection, name):
        raise ConfigError(f'there is a collection "{name}" already; drop it or take another name')
    has_string_ids = bool(ids) and isinstance(ids[0], str)
    id_type = schema_pb2.DataType.VarChar if has_string_ids else schema_pb2.DataType.Int64
    fields = [
        FieldSchema("id", id_type, {"max_length": "65535"} if has_string_ids else {}),
        FieldSchema("vector", schema_pb2.DataType.FloatVector, {"dim": str(vectors.shape[1])}),
    ]
    metric_type = next(word for word, meaning in METRICS.items() if meaning == metric)
    index = {
        "index_type": "HNSW",
        "metric_type": metric_type,
        "params": json.dumps({"M": 16, "efConstruction": 200}),
    }
    ensure_collection(connection, name, fields, index, dynamic=True)
    for start in range(0, len(ids), _BATCH_ROWS):
        batch = slice(start, start + _BATCH_ROWS)
        connection.call(
            "Insert", _build_insert_request(name, ids[batch], vectors[batch], payloads[batch])
        )


def _build_insert_request(
    name: str, ids: Sequence[PointId], vectors: Float32, payloads: Sequence[Mapping[str, Any]]
) -> Any:
    encoded = [json.dumps(dict(payload)).encode("ascii") for payload in payloads]
    dynamic = build_json_column(DYNAMIC_FIELD, encoded, is_dynamic=True)
    return milvus_pb2.InsertRequest(
        collection_name=name,
        num_rows=len(ids),
        fields_data=[build_key_column("id", ids), build_vector_column("vector", vectors), dynamic],
    )
