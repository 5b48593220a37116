"""Digests of vectors and of the sidecar's own records, so that damage is seen before it spreads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nudge_sync.connector import Document, Float32, Record
from nudge_sync.errors import DamagedRecord

_DIGEST_BYTES = 16


def digest_bytes(content: bytes) -> str:
    """32 hexadecimal digits: BLAKE2b of `content`."""
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


class LineDigest:
    """The digest of lines that come one by one, as of their text joined by line breaks."""

    def __init__(self, first: str) -> None:
        self._state = hashlib.blake2b(first.encode(), digest_size=_DIGEST_BYTES)

    def add(self, line: bytes) -> None:
        """One more line, without its end."""
        self._state.update(b"\n" + line)

    def hexdigest(self) -> str:
        """The digest so far."""
        return self._state.hexdigest()


def digest_vector(vector: Float32) -> str:
    """The digest of one vector's bits, as little-endian float32."""
    return digest_bytes(np.ascontiguousarray(vector, dtype="<f4").tobytes())


def digest_vectors(vectors: Float32) -> list[str]:
    """The digest of each row."""
    return [digest_vector(row) for row in vectors]


def digest_json(content: Any) -> str:
    """The digest of anything JSON can hold, whatever the order of its keys."""
    text = json.dumps(_to_canonical(content), sort_keys=True, separators=(",", ":"))
    return digest_bytes(text.encode("utf-8", "surrogatepass"))


def _to_canonical(value: Any) -> Any:
    # A database may hand 1.0 back as 1.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _to_canonical(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_to_canonical(inner) for inner in value]
    return value


def add_checksum(key: str, document: Document, vector: Float32 | None = None) -> Record:
    """A record whose document carries its own digest and that of its vector."""
    body = dict(document)
    if vector is not None:
        body["vector"] = digest_vector(vector)
    return Record(key, {**body, "seal": digest_json({"key": key, **body})}, vector)


def verify_checksums(records: Sequence[Record], collection_name: str) -> list[Record]:
    """The same records, each found to be what was sealed.

    Raises DamagedRecord that names the first one that is not; `place` is their collection.
    """
    for record in records:
        _verify_checksum(record, collection_name)
    return list(records)


def _verify_checksum(record: Record, collection_name: str) -> None:
    body = {key: value for key, value in _list_fields(record) if key != "seal"}
    is_intact = dict(_list_fields(record)).get("seal") == digest_json({"key": record.key, **body})
    if is_intact and record.vector is not None and "vector" in body:
        is_intact = digest_vector(record.vector) == body["vector"]
    if not is_intact:
        raise DamagedRecord(
            f'record {record.key!r} in "{collection_name}" fails its digest; nothing was written '
            "from it. "
            "Restore that collection from a backup, or delete the record if the point it belongs "
            "to was re-embedded since"
        )


def _list_fields(record: Record) -> Iterable[tuple[str, Any]]:
    # A damaged one may be any JSON.
    return record.document.items() if isinstance(record.document, dict) else ()
