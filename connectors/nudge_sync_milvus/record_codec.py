"""The sidecar's records as columns of rows, and back; where they match, as Milvus's filters.

A record is JSON text over several text columns, compressed where it is long, and its vector, if it
has one. A vector that does not fit the collection stands in the text, too (docs/adr/0042). What
`where` can name is stored beside it as JSON: numbers as doubles, strings as digests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nudge_sync.connector import (
    Document,
    Float32,
    Record,
    Scalar,
    Where,
    decode_vector,
    encode_vector,
)
from nudge_sync.errors import DamagedRecord, InputError
from nudge_sync_milvus.columns import (
    build_json_column,
    build_text_column,
    build_vector_column,
    extract_vectors,
)
from nudge_sync_milvus.filters import MAX_DOUBLE, build_range_filter, format_literal
from nudge_sync_milvus.query import FetchedRows

KEY_FIELD = "key"
"""The primary key: the digest of a record's key, or a claim."""
VECTOR_FIELD = "vector"
"""Zeros where a record has none, or one of another dimension."""
INDEX_FIELD = "indexed"
"""What filters compare."""
MAX_TEXT_BYTES = 65_535
"""The longest VARCHAR that Milvus has."""
TEXT_FIELDS = tuple(f"text_{number}" for number in range(8))
"""Together they hold a record."""
MIN_DIMENSION = 2
"""Newer servers refuse vectors of one component."""
CLAIM_MARKER = "~"
"""What a claim's key begins with: it sorts after every digest, so scans and counts leave it out."""
RECORDS_FILTER = f'{KEY_FIELD} < "{CLAIM_MARKER}"'
"""A filter for records, without the claims."""
_MAX_EXACT_INTEGER = 2**53
"""Up to here a double holds every integer."""
_PLAIN_MARKER, _COMPRESSED_MARKER = "=", "z"
"""What the text of a record begins with."""
_MAX_DOCUMENT_BYTES = 64 * 2**20
"""Of a record's text before it is compressed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored record, and the nonce of the claim under which it was written, or ""."""

    record: Record
    nonce: str


def hash_key(key: str) -> str:
    """Return the primary key of a record: of fixed length, and harmless in a filter."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def encode_record(record: Record, nonce: str = "", size: int | None = None) -> list[str]:
    """Return the record over as many texts as there are text columns.

    size: how many numbers the collection's vectors have. A vector with more or fewer is in the
    texts; None: it is not, whatever it has.
    Raises InputError for what JSON cannot hold or what does not fit.
    """
    content = [record.key, record.vector is not None, nonce, record.document]
    if record.vector is not None and size is not None and len(record.vector) != size:
        content.append(encode_vector(record.vector))
    try:
        text = json.dumps(content, allow_nan=False, separators=(",", ":"))
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


def decode_record(texts: Sequence[str], vector: Float32 | None) -> Entry:
    """Return what `encode_record` stored, with its vector as it was stored.

    vector: that of the row; None where it was not read, and then the record has none.
    Raises DamagedRecord where it cannot be read.
    """
    encoded = "".join(texts)
    try:
        text = encoded[1:]
        if encoded[0] == _COMPRESSED_MARKER:
            text = _decompress(text).decode("ascii")
        key, has_vector, nonce, document, *other_vectors = json.loads(text)
        if vector is not None and other_vectors:
            (other_vector,) = other_vectors
            vector = decode_vector(other_vector)
    except (ValueError, TypeError, IndexError, RecursionError, zlib.error) as error:
        raise DamagedRecord("a record in Milvus is not what was stored; it was not used") from error
    if not (isinstance(key, str) and isinstance(nonce, str) and isinstance(document, dict)):
        raise DamagedRecord("a record in Milvus is not what was stored; it was not used")
    record_vector = None if vector is None or not has_vector else np.array(vector)
    return Entry(Record(key, document, record_vector), nonce)


def _decompress(text: str) -> bytes:
    """Return the text as it was before; raises ValueError for more than any record holds.

    Without that limit a few damaged bytes could unpack to gigabytes.
    """
    unpacking = zlib.decompressobj()
    data = unpacking.decompress(base64.b85decode(text), _MAX_DOCUMENT_BYTES)
    if not unpacking.eof:
        raise ValueError("cut, or larger than any record")
    return data


def build_columns(
    keys: Sequence[str], entries: Sequence[Entry], size: int, indexed: Sequence[str]
) -> list[Any]:
    """Return the columns of an upsert that stores these entries under these primary keys.

    size: how many numbers the collection's vectors have.
    """
    texts = [encode_record(entry.record, entry.nonce, size) for entry in entries]
    indexes = [_encode_index(entry.record.document, indexed) for entry in entries]
    return [
        build_text_column(KEY_FIELD, keys),
        build_vector_column(VECTOR_FIELD, _stack_vectors(entries, size)),
        build_json_column(INDEX_FIELD, indexes),
        *(
            build_text_column(name, [row[number] for row in texts])
            for number, name in enumerate(TEXT_FIELDS)
        ),
    ]


def decode_rows(rows: FetchedRows) -> Iterator[tuple[str, Entry]]:
    """Yield each row's primary key and its entry, with its vector if that was read."""
    if not rows.keys:
        return
    texts = [rows.columns[name].scalars.string_data.data for name in TEXT_FIELDS]
    column = rows.columns.get(VECTOR_FIELD)
    vectors = extract_vectors(column)[0] if column is not None else None
    for row, key in enumerate(rows.keys):
        vector = vectors[row] if vectors is not None else None
        yield str(key), decode_record([text[row] for text in texts], vector)


def _stack_vectors(entries: Sequence[Entry], size: int) -> Float32:
    """Return (n, size): the vectors to store, zeros where there is none that fits."""
    vectors = np.zeros((len(entries), size), dtype=np.float32)
    for row, entry in enumerate(entries):
        if entry.record.vector is not None and len(entry.record.vector) == size:
            vectors[row] = entry.record.vector
    return vectors


def _encode_index(document: Document, indexed: Sequence[str]) -> bytes:
    """Return the fields that filters name, in a form that a filter compares without surprises."""
    values = {name: _encode_value(document[name]) for name in indexed if name in document}
    encoded = {name: value for name, value in values.items() if value is not None}
    return json.dumps(encoded, separators=(",", ":")).encode("ascii")


def _encode_value(value: Any) -> str | float | None:
    """Return a number as the nearest double, which keeps the order; a string as a digest."""
    if isinstance(value, bool):
        return "b1" if value else "b0"
    if isinstance(value, int | float) and value == value:  # noqa: PLR0124 - NaN is not itself
        return float(min(max(value, -MAX_DOUBLE), MAX_DOUBLE))
    return "s" + hash_key(value) if isinstance(value, str) else None


def build_filter(where: Where, indexed: Sequence[str]) -> str:
    """Return a filter for the rows that may match: all that do, and at times others."""
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
    """Return whether `build_filter` alone finds exactly the rows that match."""
    return all(name in indexed and _is_exact(wanted) for name, wanted in where.items())


def _is_exact(wanted: Scalar | tuple[float, float]) -> bool:
    if isinstance(wanted, tuple):
        return all(math.isinf(bound) or abs(bound) <= _MAX_EXACT_INTEGER for bound in wanted)
    return isinstance(wanted, str | bool) or abs(wanted) <= _MAX_EXACT_INTEGER


def build_claims_filter(key: str) -> str:
    """Return a filter for the record with this primary key and for all claims on it."""
    stem = f"{CLAIM_MARKER}{key}"
    return (
        f"{KEY_FIELD} == {format_literal(key)} or "
        f"({KEY_FIELD} > {format_literal(stem + ':')} and {KEY_FIELD} < "
        f"{format_literal(stem + ';')})"
    )
