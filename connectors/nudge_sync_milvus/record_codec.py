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
from nudge_sync_milvus.filters import LARGEST, literal, number_range

KEY = "key"
VECTOR = "vector"
INDEXED = "indexed"
TEXT_BYTES = 65_535
TEXTS = tuple(f"text_{number}" for number in range(8))
LEAST_DIMENSION = 2
"""Newer servers refuse vectors of one component."""
EXACT = 2**53
"""Up to here a double holds every integer."""
PLAIN, PRESSED = "=", "z"
MOST_UNPRESSED = 64 * 2**20
"""Bytes of a document."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored record, and the claim under which it was written, if it was."""

    record: Record
    nonce: str


def key_digest(key: str) -> str:
    """The primary key of a record: of fixed length, and harmless in a filter."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def texts_of(record: Record, nonce: str = "") -> list[str]:
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
    stored = PLAIN + text
    if len(stored) > TEXT_BYTES:
        stored = PRESSED + base64.b85encode(zlib.compress(text.encode("ascii"))).decode("ascii")
    if len(stored) > TEXT_BYTES * len(TEXTS) or len(text) > MOST_UNPRESSED:
        raise InputError(
            f"record {record.key[:80]!r} takes {len(stored)} bytes; Milvus holds "
            f"{TEXT_BYTES * len(TEXTS)} of one record"
        )
    return [stored[place * TEXT_BYTES : (place + 1) * TEXT_BYTES] for place in range(len(TEXTS))]


def entry_of(texts: Sequence[str], vector: Any, dimension: int) -> Entry:
    """What `texts_of` stored. Raises DamagedRecord where it cannot be read."""
    stored = "".join(texts)
    try:
        plain = stored[1:]
        if stored[0] == PRESSED:
            plain = _unpressed(plain).decode("ascii")
        key, has_vector, nonce, document = json.loads(plain)
    except (ValueError, TypeError, IndexError, RecursionError, zlib.error) as error:
        raise DamagedRecord("a record in Milvus is not what was stored; it was not used") from error
    if not (isinstance(key, str) and isinstance(nonce, str) and isinstance(document, dict)):
        raise DamagedRecord("a record in Milvus is not what was stored; it was not used")
    kept = None if vector is None or not has_vector else np.array(vector[:dimension])
    return Entry(Record(key, document, kept), nonce)


def _unpressed(text: str) -> bytes:
    """At most what a record of ours can hold: a few bytes may unpack to gigabytes."""
    unpacking = zlib.decompressobj()
    found = unpacking.decompress(base64.b85decode(text), MOST_UNPRESSED)
    if not unpacking.eof:
        raise ValueError("cut, or larger than any record")
    return found


def vector_of(record: Record, dimension: int) -> Any:
    """The vector to store: zeros where the record has none. Raises InputError."""
    stored = np.zeros(max(dimension, LEAST_DIMENSION), dtype=np.float32)
    if record.vector is not None:
        if record.vector.shape != (dimension,):
            raise InputError(
                f"record {record.key[:80]!r}: expected a vector of {dimension} components, "
                f"got shape {record.vector.shape}"
            )
        if not np.isfinite(record.vector).all():
            raise InputError(f"record {record.key[:80]!r}: its vector is not finite")
        stored[:dimension] = record.vector
    return stored


def index_of(document: Document, indexed: Sequence[str]) -> bytes:
    """The fields that filters name, in a form that a filter compares without surprises."""
    values = {name: _indexed(document[name]) for name in indexed if name in document}
    kept = {name: value for name, value in values.items() if value is not None}
    return json.dumps(kept, separators=(",", ":")).encode("ascii")


def _indexed(value: Any) -> str | float | None:
    """A number as the nearest double, which keeps the order; a string as a digest."""
    if isinstance(value, bool):
        return "b1" if value else "b0"
    if isinstance(value, int | float) and value == value:  # noqa: PLR0124 - NaN is not itself
        return float(min(max(value, -LARGEST), LARGEST))
    return "s" + key_digest(value) if isinstance(value, str) else None


def filter_of(where: Where, indexed: Sequence[str]) -> str:
    """A filter for the rows that may match: all that do, and at times others."""
    terms = []
    for name, wanted in where.items():
        if name not in indexed:
            continue
        field = f"{INDEXED}[{literal(name)}]"
        if isinstance(wanted, tuple):
            terms.append(number_range(field, *wanted, inclusive=not _plain(wanted)))
        else:
            value = _indexed(wanted)
            terms.append(f"{field} == {literal(value)}" if value is not None else "")
    return " and ".join(f"({term})" for term in terms if term)


def settles(where: Where, indexed: Sequence[str]) -> bool:
    """Whether `filter_of` alone finds exactly the rows that match."""
    return all(name in indexed and _plain(wanted) for name, wanted in where.items())


def _plain(wanted: Scalar | tuple[float, float]) -> bool:
    if isinstance(wanted, tuple):
        return all(math.isinf(bound) or abs(bound) <= EXACT for bound in wanted)
    return isinstance(wanted, str | bool) or abs(wanted) <= EXACT


def matches(document: Mapping[str, Any], where: Where) -> bool:
    """Whether a document is among those that `where` asks for."""
    return all(_matches(document.get(name), wanted) for name, wanted in where.items())


def _matches(value: Any, wanted: Scalar | tuple[float, float]) -> bool:
    if isinstance(wanted, tuple):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and wanted[0] <= value < wanted[1]
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)
