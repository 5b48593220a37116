"""Milvus's column messages as arrays, and back, without a value in between being touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus.grpc_gen import schema_pb2

from nudge_sync.connector import Float32, PointId

DENSE = {"float_vector", "binary_vector", "float16_vector", "bfloat16_vector", "int8_vector"}
ARRAY_KINDS = {
    schema_pb2.DataType.Bool: "bool_data",
    schema_pb2.DataType.Int8: "int_data",
    schema_pb2.DataType.Int16: "int_data",
    schema_pb2.DataType.Int32: "int_data",
    schema_pb2.DataType.Int64: "long_data",
    schema_pb2.DataType.Float: "float_data",
    schema_pb2.DataType.Double: "double_data",
}
FLOATS_TAG = b"\n"
"""How protobuf announces field 1, length-delimited: FloatArray's packed `data`."""


def named(answer: Any, name: str) -> Any:
    """The column `name` of an answer, or None."""
    return next((field for field in answer.fields_data if field.field_name == name), None)


def keys_of(field: Any) -> list[PointId]:
    """The primary keys in a column."""
    return list(getattr(field.scalars, field.scalars.WhichOneof("data")).data)


def floats(array: Any) -> Float32:
    """The numbers of a FloatArray message, bit for bit, without a Python object each."""
    count = len(array.data)
    packed = array.SerializeToString()
    return np.frombuffer(packed, dtype="<f4", offset=len(packed) - 4 * count)


def float_array(values: Float32) -> Any:
    """A FloatArray message with the numbers of `values`, bit for bit."""
    packed = np.ascontiguousarray(values, dtype="<f4").tobytes()
    return schema_pb2.FloatArray.FromString(FLOATS_TAG + _varint(len(packed)) + packed)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:  # noqa: PLR2004 - seven bits a byte
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def vectors_of(field: Any) -> tuple[Float32, NDArray[np.bool_]]:
    """The vectors of a float vector column, (n, d), and which rows have one at all, (n,)."""
    stored = floats(field.vectors.float_vector).reshape(-1, field.vectors.dim)
    if not field.valid_data:
        return stored, np.ones(len(stored), dtype=bool)
    valid = np.array(field.valid_data, dtype=bool)
    if len(stored) == len(valid):
        return stored, valid
    full = np.zeros((len(valid), field.vectors.dim), dtype=np.float32)
    full[valid] = stored
    return full, valid


def vector_column(name: str, values: Float32) -> Any:
    """A float vector column that holds `values`: (n, d)."""
    return schema_pb2.FieldData(
        type=schema_pb2.DataType.FloatVector,
        field_name=name,
        vectors=schema_pb2.VectorField(
            dim=values.shape[1], float_vector=float_array(values.reshape(-1))
        ),
    )


def key_column(name: str, keys: Sequence[PointId]) -> Any:
    """A primary key column."""
    column = schema_pb2.FieldData(field_name=name)
    if keys and isinstance(keys[0], str):
        column.type = schema_pb2.DataType.VarChar
        column.scalars.string_data.data.extend(keys)
    else:
        column.type = schema_pb2.DataType.Int64
        column.scalars.long_data.data.extend(keys)
    return column


def sendable(field: Any, count: int) -> Any:
    """A column of `count` rows as it was answered, in the form that an upsert takes.

    A null takes a place in an answer and none in a request. An empty array is answered as nothing
    at all, and a request that says so makes Milvus 2.3 crash.
    """
    arrays = field.scalars.WhichOneof("data") == "array_data"
    if not arrays and not field.valid_data:
        return field
    part = picked(field, range(count))
    if arrays:
        kind = ARRAY_KINDS.get(part.scalars.array_data.element_type, "string_data")
        for row in part.scalars.array_data.data:
            if row.WhichOneof("data") is None:
                getattr(row, kind).SetInParent()
    return part


def picked(field: Any, rows: Sequence[int]) -> Any:
    """The column with `rows` only, in that order, and no place for a null beside its mark."""
    part = schema_pb2.FieldData(
        type=field.type, field_name=field.field_name, is_dynamic=field.is_dynamic
    )
    part.valid_data.extend([field.valid_data[row] for row in rows] if field.valid_data else [])
    kind = field.WhichOneof("field")
    places = _places(field, rows)
    if kind == "scalars":
        _pick_scalars(field.scalars, part.scalars, places)
    elif kind == "vectors":
        _pick_vectors(field.vectors, part.vectors, places)
    return part


def _places(field: Any, rows: Sequence[int]) -> list[int]:
    valid = field.valid_data
    if not valid:
        return list(rows)
    wanted = [row for row in rows if valid[row]]
    if _length(field) == len(valid):
        return wanted
    position = np.cumsum(np.array(valid, dtype=np.int64)) - 1
    return [int(position[row]) for row in wanted]


def _length(field: Any) -> int:
    holder = getattr(field, field.WhichOneof("field"))
    kind = holder.WhichOneof("data")
    array = getattr(holder, kind)
    if kind in DENSE:
        return len(_packed(kind, array)) // _width(kind, holder.dim)
    return len(array.contents if kind == "sparse_float_vector" else array.data)


def _pick_scalars(source: Any, target: Any, places: Sequence[int]) -> None:
    kind = source.WhichOneof("data")
    if kind is None:
        return
    array, copy = getattr(source, kind), getattr(target, kind)
    copy.SetInParent()
    if kind == "array_data":
        copy.element_type = array.element_type
    copy.data.extend([array.data[place] for place in places])


def _pick_vectors(source: Any, target: Any, places: Sequence[int]) -> None:
    kind = source.WhichOneof("data")
    target.dim = source.dim
    if kind is None:
        return
    array = getattr(source, kind)
    if kind in DENSE:
        _pick_dense(kind, source.dim, array, target, places)
        return
    copy = getattr(target, kind)
    copy.SetInParent()
    if kind == "sparse_float_vector":
        copy.dim = array.dim
        copy.contents.extend([array.contents[place] for place in places])
    else:
        copy.dim, copy.element_type = array.dim, array.element_type
        copy.data.extend([array.data[place] for place in places])


def _pick_dense(kind: str, dim: int, array: Any, target: Any, places: Sequence[int]) -> None:
    rows = np.frombuffer(_packed(kind, array), dtype=np.uint8).reshape(-1, _width(kind, dim))
    chosen = rows[list(places)].tobytes()
    if kind == "float_vector":
        target.float_vector.CopyFrom(float_array(np.frombuffer(chosen, dtype="<f4")))
    else:
        setattr(target, kind, chosen)


def _packed(kind: str, array: Any) -> bytes:
    return floats(array).tobytes() if kind == "float_vector" else array


def _width(kind: str, dim: int) -> int:
    bits = {"float_vector": 32, "binary_vector": 1, "int8_vector": 8}
    return dim * bits.get(kind, 16) // 8


def alike(left: Any, left_rows: Sequence[int], right: Any, right_rows: Sequence[int]) -> bool:
    """Whether two columns hold the same, byte for byte, in these rows."""
    whole = len(left_rows) == len(right_rows) and list(left_rows) == list(right_rows)
    if whole and left.SerializeToString() == right.SerializeToString():
        return True
    return _fingerprint(left, left_rows) == _fingerprint(right, right_rows)


def _fingerprint(field: Any, rows: Sequence[int]) -> bytes:
    part = picked(field, rows)
    if part.WhichOneof("field") == "vectors":
        # A sparse column's dimension is that of its longest row, whichever rows came along.
        part.vectors.dim = 0
        if part.vectors.WhichOneof("data") == "sparse_float_vector":
            part.vectors.sparse_float_vector.dim = 0
    return bytes(part.SerializeToString(deterministic=True))
