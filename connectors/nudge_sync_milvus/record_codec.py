"""A record as the columns of one row, and back."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nudge_sync.connector import Document, Record, Scalar, Where
from nudge_sync.errors import DamagedRecord, InputError
from nudge_sync_milvus.filters import MAX_DOUBLE, build_range_filter, format_literal

KEY_FIELD = "key"
VECTOR_FIELD = "vector"
INDEX_FIELD = "indexed"
MAX_TEXT_BYTES = 65_535
TEXT_FIELDS = tuple(f"text_{number}" for number in range(8))
MIN_DIMENSION = 2
"""Newer servers refuse vectors of one component."""
_MAX_EXACT_INTEGER = 2**53
"""Up to here a double holds every integer."""
_PLAIN_MARKER, _COMPRESSED_MARKER = "=", "z"
_MAX_DOCUMENT_BYTES = 64 * 2**20
"""Bytes of a document."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored record, and the claim under which it was written, if it was."""

    record: Record
    nonce: str


def hash_key(key: str) -> str:
    """The primary key of a record: of fixed length, and harmless in a filter."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def encode_record(record: Record, nonce: str = "") -> list[str]:
    """The record without its vector, over as many texts as there are text columns.

    Raises InputError for what JSON cannot hold or what does not fit.
    """
    has_vector = record.vector is not None
    try:
        text = json.dumps(
            [record.key, has_vector, nonce, record.document],
            allow_nan=False,
            separators=(",", ":"),
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"record {record.key[:80]!r} cannot be stored as JSON: {error}") from error
    encoded = _PLAIN_MARKER + text
    if len(encoded) > MAX_TEXT_BYTES:
        encoded = _COMPRESSED_MARKER + base64.b85encode(zlib.compress(text.encode("ascii"))).decode(
            "ascii"
        )
    if len(encoded) > MAX_TEXT_BYTES * len(TEXT_FIELDS) or len(text) > _MAX_DOCUMENT_BYTES:
        raise InputError(
            f"record {record.key[:80]!r} takes {len(encoded)} bytes; Milvus holds "
            f"{MAX_TEXT_BYTES * len(TEXT_FIELDS)} of one record"
        )
    return [
        encoded[index * MAX_TEXT_BYTES : (index + 1) * MAX_TEXT_BYTES]
        for index in range(len(TEXT_FIELDS))
    ]


def decode_record(texts: Sequence[str], vector: Any, dimension: int) -> Entry:
    """What `texts_of` stored. Raises DamagedRecord where it cannot be read."""
    encoded = "".join(texts)
    try:
        text = encoded[1:]
        if encoded[0] == _COMPRESSED_MARKER:
            text = _decompress(text).decode("ascii")
        key, has_vector, nonce, document = json.loads(text)
    except (ValueError, TypeError, IndexError, RecursionError, zlib.error) as error:
        raise DamagedRecord("a record in Milvus is not what was stored; it was not used") from error
    if not (isinstance(key, str) and isinstance(nonce, str) and isinstance(document, dict)):
        raise DamagedRecord("a record in Milvus is not what was stored; it was not used")
    record_vector = None if vector is None or not has_vector else np.array(vector[:dimension])
    return Entry(Record(key, document, record_vector), nonce)


def _decompress(text: str) -> bytes:
    """At most what a record of ours can hold: a few bytes may unpack to gigabytes."""
    unpacking = zlib.decompressobj()
    data = unpacking.decompress(base64.b85decode(text), _MAX_DOCUMENT_BYTES)
    if not unpacking.eof:
        raise ValueError("cut, or larger than any record")
    return data


def encode_vector(record: Record, dimension: int) -> Any:
    """The vector to store: zeros where the record has none. Raises InputError."""
    padded = np.zeros(max(dimension, MIN_DIMENSION), dtype=np.float32)
    if record.vector is not None:
        if record.vector.shape != (dimension,):
            raise InputError(
                f"record {record.key[:80]!r}: expected a vector of {dimension} components, "
                f"got shape {record.vector.shape}"
            )
        if not np.isfinite(record.vector).all():
            raise InputError(f"record {record.key[:80]!r}: its vector is not finite")
        padded[:dimension] = record.vector
    return padded


def encode_index(document: Document, indexed: Sequence[str]) -> bytes:
    """The fields that filters name, in a form that a filter compares without surprises."""
    values = {name: _encode_value(document[name]) for name in indexed if name in document}
    encoded = {name: value for name, value in values.items() if value is not None}
    return json.dumps(encoded, separators=(",", ":")).encode("ascii")


def _encode_value(value: Any) -> str | float | None:
    """A number as the nearest double, which keeps the order; a string as a digest."""
    if isinstance(value, bool):
        return "b1" if value else "b0"
    if isinstance(value, int | float) and value == value:  # noqa: PLR0124 - NaN is not itself
        return float(min(max(value, -MAX_DOUBLE), MAX_DOUBLE))
    return "s" + hash_key(value) if isinstance(value, str) else None


def build_filter(where: Where, indexed: Sequence[str]) -> str:
    """A filter for the rows that may match: all that do, and at times others."""
    conditions = []
    for name, wanted in where.items():
        if name not in indexed:
            continue
        field = f"{INDEX_FIELD}[{format_literal(name)}]"
        if isinstance(wanted, tuple):
            conditions.append(build_range_filter(field, *wanted, inclusive=not _is_exact(wanted)))
        else:
            value = _encode_value(wanted)
            conditions.append(f"{field} == {format_literal(value)}" if value is not None else "")
    return " and ".join(f"({term})" for term in conditions if term)


def is_exact_filter(where: Where, indexed: Sequence[str]) -> bool:
    """Whether `filter_of` alone finds exactly the rows that match."""
    return all(name in indexed and _is_exact(wanted) for name, wanted in where.items())


def _is_exact(wanted: Scalar | tuple[float, float]) -> bool:
    if isinstance(wanted, tuple):
        return all(math.isinf(bound) or abs(bound) <= _MAX_EXACT_INTEGER for bound in wanted)
    return isinstance(wanted, str | bool) or abs(wanted) <= _MAX_EXACT_INTEGER


def is_match(document: Mapping[str, Any], where: Where) -> bool:
    """Whether a document is among those that `where` asks for."""
    return all(_is_value_match(document.get(name), wanted) for name, wanted in where.items())


def _is_value_match(value: Any, wanted: Scalar | tuple[float, float]) -> bool:
    if isinstance(wanted, tuple):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and wanted[0] <= value < wanted[1]
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)
