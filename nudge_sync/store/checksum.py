"""Digests of vectors, and checksums of the sidecar's own records, so that damage is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from nudge_sync.connector import Document, Float32, Record
from nudge_sync.errors import DamagedRecord

_DIGEST_BYTES = 16
"""Length of a digest: BLAKE2b with 128 bits."""
_CANONICAL_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_SCALAR_TYPES = frozenset({str, int, bool, type(None)})
"""Types that stand in canonical JSON as they are."""


def digest_bytes(content: bytes) -> str:
    """Return the BLAKE2b-128 of `content` as 32 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


class LineDigest:
    """The digest of lines that come one by one; that of their text joined by line breaks."""

    def __init__(self, first: str) -> None:
        """Begin with the first line, without its end."""
        self._state = hashlib.blake2b(first.encode(), digest_size=_DIGEST_BYTES)

    def add(self, line: bytes) -> None:
        """Add one more line, without its end."""
        self._state.update(b"\n" + line)

    def hexdigest(self) -> str:
        """Return the digest of all lines so far."""
        return self._state.hexdigest()


def digest_vector(vector: Float32) -> str:
    """Return the digest of one vector (d,), as little-endian float32."""
    return digest_bytes(np.ascontiguousarray(vector, dtype="<f4").tobytes())


def digest_vectors(vectors: Float32) -> list[str]:
    """Return the digest of each row of `vectors` (n, d)."""
    return [digest_vector(row) for row in vectors]


def digest_json(content: Any) -> str:
    """Return the digest of anything JSON can hold, whatever the order of its keys.

    Numbers that are equal have one digest: a database may hand 1.0 back as 1.
    """
    text = _CANONICAL_JSON.encode(_to_canonical(content))
    return digest_bytes(text.encode("utf-8", "surrogatepass"))


def _to_canonical(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        # Most values are scalars: a call for each of them would double the time of a ledger.
        return {
            key: inner if type(inner) in _SCALAR_TYPES else _to_canonical(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_to_canonical(inner) for inner in value]
    return value


def add_checksum(key: str, document: Document, vector: Float32 | None = None) -> Record:
    """Return a record whose document carries a checksum of itself and of its vector."""
    body = dict(document)
    if vector is not None:
        body["vector"] = digest_vector(vector)
    return Record(key, {**body, "seal": digest_json({"key": key, **body})}, vector)


def verify_checksums(records: Sequence[Record], collection_name: str) -> list[Record]:
    """Return the records, each found to be what `add_checksum` made.

    collection_name: theirs, for the message. Raises DamagedRecord, which names the first record
    that is not.
    """
    for record in records:
        _verify_checksum(record, collection_name)
    return list(records)


def _verify_checksum(record: Record, collection_name: str) -> None:
    # A damaged document may be any JSON.
    body = dict(record.document) if isinstance(record.document, dict) else {}
    seal = body.pop("seal", None)
    is_intact = seal == digest_json({"key": record.key, **body})
    if is_intact and record.vector is not None and "vector" in body:
        is_intact = digest_vector(record.vector) == body["vector"]
    if not is_intact:
        raise DamagedRecord(
            f'record {record.key!r} in "{collection_name}" fails its digest; nothing was written '
            "from it. Restore that collection from a backup, or delete the record if the point it "
            "belongs to was re-embedded since"
        )
