"""Rows of an application's own collection, with everything in them but further vectors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from nudge_sync.connector import PointId, Record
from nudge_sync_milvus.client import Connection
from nudge_sync_milvus.columns import extract_vectors
from nudge_sync_milvus.create import load_collection
from nudge_sync_milvus.layout import DYNAMIC_FIELD, VECTOR_TYPES, Layout, resolve_layout
from nudge_sync_milvus.query import CollectionRef, FetchedRows, read_rows, scan_rows, to_ref

_READABLE_TYPES = {
    getattr(schema_pb2.DataType, name)
    for name in ("Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double")
} | {
    getattr(schema_pb2.DataType, name)
    for name in ("String", "VarChar", "Text", "JSON", "Array", "Timestamptz")
    if name in schema_pb2.DataType.keys()  # noqa: SIM118 - an enum wrapper is no mapping
}
"""Types of fields whose values JSON can hold; the second half depends on pymilvus's release."""


def scan_log_documents(
    connection: Connection, name: str, vector: str | None, batch_size: int
) -> Iterator[list[Record]]:
    """See `DocumentReader.documents`. Dynamic fields stand beside the others."""
    request = milvus_pb2.DescribeCollectionRequest(collection_name=name)
    schema = connection.call("DescribeCollection", request).schema
    if connection.is_lite:
        load_collection(connection, name)
    key_field = next(item for item in schema.fields if item.is_primary_key)
    fields = _list_payload_columns(schema)
    vector_field = (
        None if vector is None else _choose_vector_field(connection, schema, name, vector)
    )
    ref = CollectionRef(name, key_field.name, key_field.data_type == schema_pb2.DataType.Int64)
    columns = [*fields, *([vector_field] if vector_field else [])]
    for rows in scan_rows(connection, ref, columns, row_limit=batch_size):
        if len(rows):
            yield _to_log_documents(rows, key_field.name, fields, vector_field)


def read_row_payloads(
    connection: Connection, layout: Layout, ids: Sequence[PointId], fields: Sequence[str]
) -> dict[PointId, Mapping[str, Any]]:
    """See `PayloadReader.read_payloads`. A field may also be one of the dynamic field's."""
    request = milvus_pb2.DescribeCollectionRequest(collection_name=layout.collection)
    schema = connection.call("DescribeCollection", request).schema
    columns = _list_payload_columns(schema)
    wanted = [name for name in columns if name in fields or name == DYNAMIC_FIELD]
    possible_ids = [id_ for id_ in ids if layout.is_possible_id(id_)]
    payloads: dict[PointId, Mapping[str, Any]] = {}
    for rows in read_rows(connection, to_ref(layout), possible_ids, wanted, row_limit=1000):
        for key, record in zip(
            rows.keys, _to_log_documents(rows, layout.key_field, wanted, None), strict=True
        ):
            payloads[key] = {
                name: value for name, value in record.document.items() if name in fields
            }
    return payloads


def _list_payload_columns(schema: Any) -> list[str]:
    """Return the scalar fields beside the key, and the dynamic field where there is one."""
    fields = [
        item.name
        for item in schema.fields
        if item.data_type in _READABLE_TYPES
        and not item.is_primary_key
        and item.name != DYNAMIC_FIELD
    ]
    return [*fields, *([DYNAMIC_FIELD] if schema.enable_dynamic_field else [])]


def _choose_vector_field(connection: Connection, schema: Any, name: str, vector: str) -> str | None:
    vector_fields = {item.name for item in schema.fields if item.data_type in VECTOR_TYPES}
    return (
        resolve_layout(connection, name, vector).vector
        if not vector or vector in vector_fields
        else None
    )


def _to_log_documents(
    rows: FetchedRows, key_field: str, fields: list[str], vector: str | None
) -> list[Record]:
    documents: list[dict[str, Any]] = [{key_field: key} for key in rows.keys]
    for field in fields:
        column = rows.columns.get(field)
        if column is None:
            continue
        for document, value in zip(documents, _decode_values(column), strict=True):
            document.update((value or {}) if field == DYNAMIC_FIELD else {field: value})
    if vector is None:
        return [
            Record(str(key), document) for key, document in zip(rows.keys, documents, strict=True)
        ]
    vectors, valid = extract_vectors(rows.columns[vector])
    return [
        Record(str(key), documents[row], vectors[row].copy() if valid[row] else None)
        for row, key in enumerate(rows.keys)
    ]


def _decode_values(column: Any) -> list[Any]:
    """Return what a scalar column holds, a value a row; None where a row has none."""
    kind = column.scalars.WhichOneof("data")
    cells = getattr(column.scalars, kind).data if kind else [None] * len(column.valid_data)
    if kind == "json_data":
        values = [json.loads(cell) if cell else None for cell in cells]
    elif kind == "array_data":
        values = [_decode_array(cell) for cell in cells]
    else:
        values = list(cells)
    if not column.valid_data:
        return values
    if len(values) == len(column.valid_data):
        return [
            cell if valid else None for cell, valid in zip(values, column.valid_data, strict=True)
        ]
    present_values = iter(values)
    return [next(present_values) if valid else None for valid in column.valid_data]


def _decode_array(cell: Any) -> list[Any]:
    kind = cell.WhichOneof("data")
    return list(getattr(cell, kind).data) if kind else []
