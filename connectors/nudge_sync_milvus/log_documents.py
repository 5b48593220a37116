"""Rows of an application's own collection with everything in them, vectors aside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from nudge_sync.connector import Record
from nudge_sync_milvus.client import Wire
from nudge_sync_milvus.columns import vectors_of
from nudge_sync_milvus.create import load
from nudge_sync_milvus.layout import META, VECTOR_TYPES, layout
from nudge_sync_milvus.query import Rows, Table, pages

_READABLE = {
    getattr(schema_pb2.DataType, name)
    for name in ("Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double")
} | {
    getattr(schema_pb2.DataType, name)
    for name in ("String", "VarChar", "Text", "JSON", "Array", "Timestamptz")
    if name in schema_pb2.DataType.keys()  # noqa: SIM118 - an enum wrapper is no mapping
}


def documents(wire: Wire, name: str, vector: str | None, batch_size: int) -> Iterator[list[Record]]:
    """See `nudge_sync.connector.DocumentReader`; dynamic fields stand beside the others."""
    request = milvus_pb2.DescribeCollectionRequest(collection_name=name)
    schema = wire.call("DescribeCollection", request).schema
    if wire.lite:
        load(wire, name)
    key = next(item for item in schema.fields if item.is_primary_key)
    fields = [
        item.name
        for item in schema.fields
        if item.data_type in _READABLE and not item.is_primary_key and item.name != META
    ]
    dynamic = [META] if schema.enable_dynamic_field else []
    chosen = None if vector is None else _vector(wire, schema, name, vector)
    table = Table(name, key.name, key.data_type == schema_pb2.DataType.Int64)
    wanted = [*fields, *dynamic, *([chosen] if chosen else [])]
    for rows in pages(wire, table, wanted, at_once=batch_size):
        if len(rows):
            yield _records(rows, key.name, [*fields, *dynamic], chosen)


def _vector(wire: Wire, schema: Any, name: str, vector: str) -> str | None:
    known = {item.name for item in schema.fields if item.data_type in VECTOR_TYPES}
    return layout(wire, name, vector).vector if not vector or vector in known else None


def _records(rows: Rows, key: str, fields: list[str], vector: str | None) -> list[Record]:
    found: list[dict[str, Any]] = [{key: one} for one in rows.keys]
    for field in fields:
        column = rows.columns.get(field)
        if column is None:
            continue
        for document, value in zip(found, _values(column), strict=True):
            document.update((value or {}) if field == META else {field: value})
    if vector is None:
        return [Record(str(one), document) for one, document in zip(rows.keys, found, strict=True)]
    vectors, valid = vectors_of(rows.columns[vector])
    return [
        Record(str(one), found[row], vectors[row].copy() if valid[row] else None)
        for row, one in enumerate(rows.keys)
    ]


def _values(column: Any) -> list[Any]:
    """What a scalar column holds, a value a row; None where a row has none."""
    kind = column.scalars.WhichOneof("data")
    cells = getattr(column.scalars, kind).data if kind else [None] * len(column.valid_data)
    if kind == "json_data":
        plain = [json.loads(cell) if cell else None for cell in cells]
    elif kind == "array_data":
        plain = [_array(cell) for cell in cells]
    else:
        plain = list(cells)
    if not column.valid_data:
        return plain
    if len(plain) == len(column.valid_data):
        return [
            cell if there else None for cell, there in zip(plain, column.valid_data, strict=True)
        ]
    packed = iter(plain)
    return [next(packed) if there else None for there in column.valid_data]


def _array(cell: Any) -> list[Any]:
    kind = cell.WhichOneof("data")
    return list(getattr(cell, kind).data) if kind else []
