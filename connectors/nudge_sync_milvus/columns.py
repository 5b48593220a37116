"""Milvus's column messages as arrays, and back, with every value bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus.grpc_gen import schema_pb2

from nudge_sync.connector import Float32, PointId

_DENSE_KINDS = {"float_vector", "binary_vector", "float16_vector", "bfloat16_vector", "int8_vector"}
"""Vector fields whose rows all take the same number of bytes."""
_ARRAY_KINDS = {
    schema_pb2.DataType.Bool: "bool_data",
    schema_pb2.DataType.Int8: "int_data",
    schema_pb2.DataType.Int16: "int_data",
    schema_pb2.DataType.Int32: "int_data",
    schema_pb2.DataType.Int64: "long_data",
    schema_pb2.DataType.Float: "float_data",
    schema_pb2.DataType.Double: "double_data",
}
"""Where an array holds its elements, by their type; text is in `string_data`."""
_FLOATS_TAG = b"\n"
"""How protobuf announces field 1, length-delimited: FloatArray's packed `data`."""


def find_column(answer: Any, name: str) -> Any:
    """Return the column `name` of an answer, or None."""
    return next((field for field in answer.fields_data if field.field_name == name), None)


def extract_keys(column: Any) -> list[PointId]:
    """Return the primary keys in a column."""
    return list(getattr(column.scalars, column.scalars.WhichOneof("data")).data)


def unpack_floats(array: Any) -> Float32:
    """Return the numbers of a FloatArray message, bit for bit, without a Python object each."""
    count = len(array.data)
    packed = array.SerializeToString()
    return np.frombuffer(packed, dtype="<f4", offset=len(packed) - 4 * count)


def pack_floats(values: Float32) -> Any:
    """Return a FloatArray message with the numbers of `values`, bit for bit."""
    packed = np.ascontiguousarray(values, dtype="<f4").tobytes()
    return schema_pb2.FloatArray.FromString(_FLOATS_TAG + _encode_varint(len(packed)) + packed)


def _encode_varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:  # noqa: PLR2004 - seven bits a byte
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def extract_vectors(column: Any) -> tuple[Float32, NDArray[np.bool_]]:
    """Return the vectors of a float vector column, (n, d), and which rows have one, (n,)."""
    stored = unpack_floats(column.vectors.float_vector).reshape(-1, column.vectors.dim)
    if not column.valid_data:
        return stored, np.ones(len(stored), dtype=bool)
    valid = np.array(column.valid_data, dtype=bool)
    if len(stored) == len(valid):
        return stored, valid
    full = np.zeros((len(valid), column.vectors.dim), dtype=np.float32)
    full[valid] = stored
    return full, valid


def build_vector_column(name: str, values: Float32) -> Any:
    """Return a float vector column that holds `values`: (n, d)."""
    return schema_pb2.FieldData(
        type=schema_pb2.DataType.FloatVector,
        field_name=name,
        vectors=schema_pb2.VectorField(
            dim=values.shape[1], float_vector=pack_floats(values.reshape(-1))
        ),
    )


def build_key_column(name: str, keys: Sequence[PointId]) -> Any:
    """Return a primary key column."""
    if keys and isinstance(keys[0], str):
        return build_text_column(name, [str(key) for key in keys])
    column = schema_pb2.FieldData(field_name=name, type=schema_pb2.DataType.Int64)
    column.scalars.long_data.data.extend(keys)
    return column


def build_text_column(name: str, values: Sequence[str]) -> Any:
    """Return a VARCHAR column."""
    column = schema_pb2.FieldData(field_name=name, type=schema_pb2.DataType.VarChar)
    column.scalars.string_data.data.extend(values)
    return column


def build_json_column(name: str, values: Sequence[bytes], *, is_dynamic: bool = False) -> Any:
    """Return a JSON column; `is_dynamic`: the one that holds all dynamic fields."""
    column = schema_pb2.FieldData(
        field_name=name, type=schema_pb2.DataType.JSON, is_dynamic=is_dynamic
    )
    column.scalars.json_data.data.extend(values)
    return column


def to_request_column(column: Any, count: int) -> Any:
    """Return a column of `count` rows as it was answered, in the form that an upsert takes.

    An answer may hold a value beside the mark of a null; a request must not. An empty array is
    answered as nothing at all, and a request that says so makes Milvus 2.3 crash.
    """
    has_arrays = column.scalars.WhichOneof("data") == "array_data"
    if not has_arrays and not column.valid_data:
        return column
    request_column = select_rows(column, range(count))
    if has_arrays:
        values_field = _ARRAY_KINDS.get(
            request_column.scalars.array_data.element_type, "string_data"
        )
        for row in request_column.scalars.array_data.data:
            if row.WhichOneof("data") is None:
                getattr(row, values_field).SetInParent()
    return request_column


def select_rows(column: Any, rows: Sequence[int]) -> Any:
    """Return the column with `rows` only, in that order, and no value where its mark says null."""
    selection = schema_pb2.FieldData(
        type=column.type, field_name=column.field_name, is_dynamic=column.is_dynamic
    )
    selection.valid_data.extend(
        [column.valid_data[row] for row in rows] if column.valid_data else []
    )
    kind = column.WhichOneof("field")
    indices = _find_values(column, rows)
    if kind == "scalars":
        _copy_scalars(column.scalars, selection.scalars, indices)
    elif kind == "vectors":
        _copy_vectors(column.vectors, selection.vectors, indices)
    return selection


def _find_values(column: Any, rows: Sequence[int]) -> list[int]:
    """Return where the column's values of these rows are; nulls may take no room there."""
    valid = column.valid_data
    if not valid:
        return list(rows)
    valid_rows = [row for row in rows if valid[row]]
    if _count_values(column) == len(valid):
        return valid_rows
    value_index = np.cumsum(np.array(valid, dtype=np.int64)) - 1
    return [int(value_index[row]) for row in valid_rows]


def _count_values(column: Any) -> int:
    holder = getattr(column, column.WhichOneof("field"))
    kind = holder.WhichOneof("data")
    array = getattr(holder, kind)
    if kind in _DENSE_KINDS:
        return len(_to_bytes(kind, array)) // _compute_vector_bytes(kind, holder.dim)
    return len(array.contents if kind == "sparse_float_vector" else array.data)


def _copy_scalars(source: Any, target: Any, indices: Sequence[int]) -> None:
    kind = source.WhichOneof("data")
    if kind is None:
        return
    array, copy = getattr(source, kind), getattr(target, kind)
    copy.SetInParent()
    if kind == "array_data":
        copy.element_type = array.element_type
    copy.data.extend([array.data[index] for index in indices])


def _copy_vectors(source: Any, target: Any, indices: Sequence[int]) -> None:
    kind = source.WhichOneof("data")
    target.dim = source.dim
    if kind is None:
        return
    array = getattr(source, kind)
    if kind in _DENSE_KINDS:
        _copy_dense_vectors(kind, source.dim, array, target, indices)
        return
    copy = getattr(target, kind)
    copy.SetInParent()
    if kind == "sparse_float_vector":
        copy.dim = array.dim
        copy.contents.extend([array.contents[index] for index in indices])
    else:
        copy.dim, copy.element_type = array.dim, array.element_type
        copy.data.extend([array.data[index] for index in indices])


def _copy_dense_vectors(
    kind: str, dim: int, array: Any, target: Any, indices: Sequence[int]
) -> None:
    rows = np.frombuffer(_to_bytes(kind, array), dtype=np.uint8).reshape(
        -1, _compute_vector_bytes(kind, dim)
    )
    chosen = rows[list(indices)].tobytes()
    if kind == "float_vector":
        target.float_vector.CopyFrom(pack_floats(np.frombuffer(chosen, dtype="<f4")))
    else:
        setattr(target, kind, chosen)


def _to_bytes(kind: str, array: Any) -> bytes:
    return unpack_floats(array).tobytes() if kind == "float_vector" else array


def _compute_vector_bytes(kind: str, dim: int) -> int:
    bits = {"float_vector": 32, "binary_vector": 1, "int8_vector": 8}
    return dim * bits.get(kind, 16) // 8


def is_same_data(
    left: Any, left_rows: Sequence[int], right: Any, right_rows: Sequence[int]
) -> bool:
    """Return whether two columns hold the same, byte for byte, in these rows."""
    whole = len(left_rows) == len(right_rows) and list(left_rows) == list(right_rows)
    if whole and left.SerializeToString() == right.SerializeToString():
        return True
    return _serialise_rows(left, left_rows) == _serialise_rows(right, right_rows)


def _serialise_rows(column: Any, rows: Sequence[int]) -> bytes:
    selection = select_rows(column, rows)
    if selection.WhichOneof("field") == "vectors":
        # A sparse column's dimension is that of its longest row, whichever rows came along.
        selection.vectors.dim = 0
        if selection.vectors.WhichOneof("data") == "sparse_float_vector":
            selection.vectors.sparse_float_vector.dim = 0
    return bytes(selection.SerializeToString(deterministic=True))
