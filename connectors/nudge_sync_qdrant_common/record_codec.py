"""How one of the sidecar's records lies in a point.

Document and key are stored as ASCII JSON text: Qdrant's own payload would round large integers
and last bits of floats, and refuse lone surrogates. What `where` can name lies beside it: `is`
holds a token for each top-level scalar, `at` each top-level number.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np

from nudge_sync.connector import Document, Float32, Record, Scalar, Where
from nudge_sync.errors import DamagedRecord, InputError

TOKENS = "is"
NUMBERS = "at"
_LONGEST_TOKEN = 200
_LARGEST = 1e300
_PLAIN = re.compile(r"[A-Za-z0-9_]+")


def point_id(key: str) -> str:
    """The UUID under which the record `key` is stored, from the key's SHA-256."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return str(UUID(bytes=digest[:16], version=5))


def payload(record: Record) -> dict[str, Any]:
    """The record without its vector. Raises InputError for what JSON cannot hold."""
    try:
        text = json.dumps(record.document, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"record {record.key[:80]!r} is not JSON: {error}") from error
    # From the text, so that what is filtered on is what will be read (a tuple becomes a list).
    scalars = {
        name: value
        for name, value in json.loads(text).items()
        if isinstance(value, str | int | float)
    }
    return {
        "key": json.dumps(record.key),
        "document": text,
        TOKENS: [token(name, value) for name, value in scalars.items()],
        NUMBERS: {_field(name): float(value) for name, value in scalars.items() if _number(value)},
    }


def record(stored: Mapping[str, Any], vector: Float32 | None) -> Record:
    """The record in a point's payload. Raises DamagedRecord."""
    try:
        key, document = json.loads(stored["key"]), json.loads(stored["document"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedRecord(f"a record is not readable: {error!r}; nothing was written") from error
    if not isinstance(key, str) or not isinstance(document, dict):
        raise DamagedRecord("a record is not readable: no key or no fields; nothing was written")
    return Record(key=key, document=document, vector=vector)


def token(name: str, value: Scalar) -> str:
    """A string that stands for this field holding this value; 1 and 1.0 are one, True is not."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    text = json.dumps([name, value])
    if len(text) <= _LONGEST_TOKEN:
        return text
    return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()


def number_path(name: str) -> str:
    """Where the number of the document's field `name` lies in the payload."""
    return f"{NUMBERS}.{_field(name)}"


def equalities(where: Where) -> list[str]:
    """The tokens a record must have."""
    return [token(name, want) for name, want in where.items() if not isinstance(want, tuple)]


def ranges(where: Where) -> list[tuple[str, float | None, float | None]]:
    """The payload path, the least and the first too large value of each range; None: no bound."""
    return [
        (number_path(name), _bound(want[0]), _bound(want[1]))
        for name, want in where.items()
        if isinstance(want, tuple)
    ]


def checked(records: Sequence[Record], dimension: int) -> list[Record]:
    """The records to store, the last of each key. Raises InputError."""
    for item in records:
        if not item.key:
            raise InputError("a record's key is empty")
        if item.vector is not None and not _fits(item.vector, dimension):
            raise InputError(
                f"record {item.key[:80]!r}: its vector should be {dimension} finite numbers"
            )
    return list({item.key: item for item in records}.values())


def generation(document: Document) -> int | None:
    """The document's generation, which `swap` compares."""
    value = document.get("generation")
    return value if isinstance(value, int) else None


def _fits(vector: Float32, dimension: int) -> bool:
    return vector.shape == (dimension,) and dimension > 0 and bool(np.isfinite(vector).all())


def _field(name: str) -> str:
    if _PLAIN.fullmatch(name):
        return f"f_{name}"
    return "x_" + name.encode("utf-8", "surrogatepass").hex()


def _number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _bound(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
