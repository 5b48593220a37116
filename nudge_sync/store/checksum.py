"""Digests of vectors and of the sidecar's own records, so that damage is seen before it spreads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nudge_sync.connector import Document, Float32, Record
from nudge_sync.errors import DamagedRecord

_SIZE = 16


def of_bytes(content: bytes) -> str:
    """32 hexadecimal digits: BLAKE2b of `content`."""
    return hashlib.blake2b(content, digest_size=_SIZE).hexdigest()


class Lines:
    """The digest of lines that come one by one, as of their text joined by line breaks."""

    def __init__(self, first: str) -> None:
        self._state = hashlib.blake2b(first.encode(), digest_size=_SIZE)

    def add(self, line: bytes) -> None:
        """One more line, without its end."""
        self._state.update(b"\n" + line)

    def digest(self) -> str:
        """The digest so far."""
        return self._state.hexdigest()


def of_vector(vector: Float32) -> str:
    """The digest of one vector's bits, as little-endian float32."""
    return of_bytes(np.ascontiguousarray(vector, dtype="<f4").tobytes())


def of_vectors(vectors: Float32) -> list[str]:
    """The digest of each row."""
    return [of_vector(row) for row in vectors]


def of_document(document: Any) -> str:
    """The digest of anything JSON can hold, whatever the order of its keys."""
    text = json.dumps(_canonical(document), sort_keys=True, separators=(",", ":"))
    return of_bytes(text.encode("utf-8", "surrogatepass"))


def _canonical(value: Any) -> Any:
    # A database may hand 1.0 back as 1.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _canonical(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(inner) for inner in value]
    return value


def sealed(key: str, document: Document, vector: Float32 | None = None) -> Record:
    """A record whose document carries its own digest and that of its vector."""
    body = dict(document)
    if vector is not None:
        body["vector"] = of_vector(vector)
    return Record(key, {**body, "seal": of_document({"key": key, **body})}, vector)


def opened(records: Sequence[Record], place: str) -> list[Record]:
    """The same records, each found to be what was sealed.

    Raises DamagedRecord that names the first one that is not; `place` is their collection.
    """
    for record in records:
        _check(record, place)
    return list(records)


def _check(record: Record, place: str) -> None:
    body = {key: value for key, value in _fields(record) if key != "seal"}
    intact = dict(_fields(record)).get("seal") == of_document({"key": record.key, **body})
    if intact and record.vector is not None and "vector" in body:
        intact = of_vector(record.vector) == body["vector"]
    if not intact:
        raise DamagedRecord(
            f'record {record.key!r} in "{place}" fails its digest; nothing was written from it. '
            "Restore that collection from a backup, or delete the record if the point it belongs "
            "to was re-embedded since"
        )


def _fields(record: Record) -> Iterable[tuple[str, Any]]:
    # A damaged one may be any JSON.
    return record.document.items() if isinstance(record.document, dict) else ()
