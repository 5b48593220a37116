from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from nudge_sync.connector import Float32, Metric, PointId
from nudge_sync.errors import ConfigError
from nudge_sync_milvus.columns import key_column, vector_column
from nudge_sync_milvus.create import Field, exists, make_collection
from nudge_sync_milvus.database import MilvusDatabase
from nudge_sync_milvus.layout import META, METRICS

ROWS_AT_ONCE = 1_000


def ingest(
    database: MilvusDatabase,
    name: str,
    ids: Sequence[PointId],
    vectors: Float32,
    payloads: Sequence[Mapping[str, Any]],
    *,
    metric: Metric = "cosine",
) -> None:
    """A new collection `name`, loaded, with these points in it; for demonstrations and tests.

    ids: all integers or all strings.  vectors: (n, d).  payloads: kept as dynamic fields.
    Raises ConfigError where the collection is there already.
    """
    wire = database.wire
    if exists(wire, name):
        raise ConfigError(f'there is a collection "{name}" already; drop it or take another name')
    text = bool(ids) and isinstance(ids[0], str)
    kind = schema_pb2.DataType.VarChar if text else schema_pb2.DataType.Int64
    fields = [
        Field("id", kind, {"max_length": "65535"} if text else {}),
        Field("vector", schema_pb2.DataType.FloatVector, {"dim": str(vectors.shape[1])}),
    ]
    measure = next(word for word, meaning in METRICS.items() if meaning == metric)
    index = {
        "index_type": "HNSW",
        "metric_type": measure,
        "params": json.dumps({"M": 16, "efConstruction": 200}),
    }
    make_collection(wire, name, fields, index, dynamic=True)
    for start in range(0, len(ids), ROWS_AT_ONCE):
        run = slice(start, start + ROWS_AT_ONCE)
        wire.call("Insert", _insertion(name, ids[run], vectors[run], payloads[run]))


def _insertion(
    name: str, ids: Sequence[PointId], vectors: Float32, payloads: Sequence[Mapping[str, Any]]
) -> Any:
    dynamic = schema_pb2.FieldData(field_name=META, type=schema_pb2.DataType.JSON, is_dynamic=True)
    dynamic.scalars.json_data.data.extend(
        json.dumps(dict(payload)).encode("ascii") for payload in payloads
    )
    return milvus_pb2.InsertRequest(
        collection_name=name,
        num_rows=len(ids),
        fields_data=[key_column("id", ids), vector_column("vector", vectors), dynamic],
    )
