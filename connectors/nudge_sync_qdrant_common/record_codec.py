"""One of the sidecar's records as a point's payload, and back.

Document and key are stored as ASCII JSON text: Qdrant's own payload would round large integers
and last bits of floats, and refuse lone surrogates. What `where` can name is stored beside it:
`at` holds each top-level number, `is` a term for each other top-level scalar, and for numbers that
are small integers, or too large to be told apart as float64. Times have no term: the engine keeps
each different term in memory, and a time is another one in every record. A vector that does not fit
the collection stands in the payload, too, as text (docs/adr/0042).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any

import numpy as np

from nudge_sync.connector import Float32, Record, Scalar, Where, decode_vector
from nudge_sync.errors import DamagedRecord, InputError

STORED_FIELDS = ("key", "document")
"""The payload's fields that a record is made of; all that a reader of no vectors needs."""
VECTOR_FIELD = "vector"
"""The payload's field of a vector that has another dimension than the collection's own."""
TERMS_FIELD = "is"
"""The payload's field of terms, which equality is looked up in."""
NUMBERS_FIELD = "at"
"""The payload's field of numbers, which ranges are looked up in."""
_MAX_TERM_LENGTH = 200
"""Longer terms are stored as their digest: keyword indexes are made for short values."""
_MAX_NUMBER = 1e300
"""Numbers from here on are not indexed: a larger integer may be none that float64 can hold."""
_MAX_SMALL_INTEGER = 2**30
"""Larger ones are times, in seconds or milliseconds since 1970."""
_MAX_EXACT_INTEGER = 2**53
_STRICT_JSON = json.JSONEncoder(allow_nan=False)
_JSON = json.JSONDecoder()
_PLAIN_TYPES = frozenset({str, int, float, bool, list, dict, type(None)})
"""Types that JSON gives back as they were."""
_PLAIN_STRING = re.compile(r'"[ !#-\[\]-~]*"')
"""A JSON string of printable ASCII without escapes."""
_PLAIN_FIELD_NAME = re.compile(r"[A-Za-z0-9_]+")
"""Names that mean nothing special in a payload's path."""


def hash_key(key: str) -> str:
    """Return the UUID under which the record `key` is stored, from the key's SHA-256."""
    digest = bytearray(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:16])
    # Version 5 and the variant of RFC 9562; uuid.UUID takes as long as all the rest.
    digest[6] = 0x50 | digest[6] & 0x0F
    digest[8] = 0x80 | digest[8] & 0x3F
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def encode_record(record: Record) -> dict[str, Any]:
    """Return the payload of a record, without its vector.

    Raises InputError for what JSON cannot hold.
    """
    try:
        text = _STRICT_JSON.encode(record.document)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"record {record.key[:80]!r} is not JSON: {error}") from error
    scalars = _select_scalars(record.document, text)
    return {
        "key": encode_basestring_ascii(record.key),
        "document": text,
        TERMS_FIELD: [
            encode_term(name, value) for name, value in scalars.items() if _has_term(value)
        ],
        NUMBERS_FIELD: {
            _encode_field_name(name): float(value)
            for name, value in scalars.items()
            if _is_indexed_number(value)
        },
    }


def _select_scalars(document: Mapping[str, Any], text: str) -> dict[str, Scalar]:
    """Return the top-level scalars of a document as they will be read from `text`, its JSON."""
    types = {*map(type, document.values())}
    # A subclass, or a key that is not a string, may be written as something else.
    is_plain = types <= _PLAIN_TYPES and {*map(type, document)} <= {str}
    fields = document if is_plain else json.loads(text)
    return {name: value for name, value in fields.items() if isinstance(value, str | int | float)}


def list_fields(*, vectors: bool) -> list[str]:
    """Return the fields of the payload that a record with or without its vector is made of."""
    return [*STORED_FIELDS, VECTOR_FIELD] if vectors else [*STORED_FIELDS]


def decode_record(payload: Mapping[str, Any], vector: Float32 | None) -> Record:
    """Return the record in a point's payload. Raises DamagedRecord where it cannot be read.

    vector: the point's own, if it has one; that of the payload comes before it.
    """
    try:
        key, document = _decode_key(payload["key"]), _decode_json(payload["document"])
        if VECTOR_FIELD in payload:
            vector = decode_vector(payload[VECTOR_FIELD])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedRecord(f"a record is not readable: {error!r}; nothing was written") from error
    if not isinstance(key, str) or not isinstance(document, dict):
        raise DamagedRecord("a record is not readable: no key or no fields; nothing was written")
    return Record(key=key, document=document, vector=vector)


def _decode_key(text: Any) -> Any:
    """Return what a JSON text holds, at once where it is a string without any escape."""
    if isinstance(text, str) and _PLAIN_STRING.fullmatch(text):
        return text[1:-1]
    return _decode_json(text)


def _decode_json(text: Any) -> Any:
    """Return what `json.loads` does, in half its time for the short texts that records are."""
    value, end = _JSON.raw_decode(text)
    return value if end == len(text) else json.loads(text)


def encode_term(name: str, value: Scalar) -> str:
    """Return a string that stands for this field holding this value.

    1 and 1.0 have the same term, True another one.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_EXACT_INTEGER:
        value = int(value)
    text = f"{_encode_term_start(name)}{_encode_scalar(value)}]"
    if len(text) <= _MAX_TERM_LENGTH:
        return text
    return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()


@lru_cache(maxsize=1024)
def _encode_term_start(name: str) -> str:
    return f"[{encode_basestring_ascii(name)}, "


def _encode_scalar(value: Scalar) -> str:
    """Return a scalar as `json.dumps` writes it."""
    return encode_basestring_ascii(value) if type(value) is str else json.dumps(value)


def build_number_path(name: str) -> str:
    """Return where in the payload the number of the document's field `name` is stored."""
    return f"{NUMBERS_FIELD}.{_encode_field_name(name)}"


def to_terms(where: Where) -> list[str]:
    """Return the terms that a record has to have, for the equalities of `where`.

    Those of numbers without a term are in `to_ranges`.
    """
    return [
        encode_term(name, want)
        for name, want in where.items()
        if not isinstance(want, tuple) and _has_term(want)
    ]


def to_ranges(where: Where) -> list[tuple[str, float | None, float | None]]:
    """Return (payload path, low, high) for each range of `where`: low <= value < high.

    None stands for no bound. That a number without a term equals another is a range, too.
    """
    ranges = []
    for name, want in where.items():
        if isinstance(want, tuple):
            ranges.append((build_number_path(name), _to_bound(want[0]), _to_bound(want[1])))
        elif not isinstance(want, str) and not _has_term(want):
            exact = float(want), math.nextafter(want, math.inf)
            ranges.append((build_number_path(name), *exact))
    return ranges


@lru_cache(maxsize=1024)
def _encode_field_name(name: str) -> str:
    if _PLAIN_FIELD_NAME.fullmatch(name):
        return f"f_{name}"
    return "x_" + name.encode("utf-8", "surrogatepass").hex()


def _is_indexed_number(value: Scalar) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER
    )


def _has_term(value: Scalar) -> bool:
    # Not the same as "at least": NaN, which no record holds, is to find nothing.
    if isinstance(value, str | bool) or not abs(value) < _MAX_EXACT_INTEGER:
        return True
    return value == int(value) and abs(value) < _MAX_SMALL_INTEGER


def _to_bound(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
