"""Vectors of texts that are stored already: those of the searches themselves.

A search that was embedded says by what, so that its text need not be embedded again: neither for
the same search, nor for another one that asks the same. See docs/adr/0026.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nudge_sync.connector import Record, Records
from nudge_sync.feedback.embedding.embedder import Embedder
from nudge_sync.feedback.schema.records import EMBEDDED_BY_FIELD, SPACE_FIELD

_MAX_TEXTS = 1_000_000
"""Stored texts that are remembered by their digests."""
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class StoredVector:
    """The vector (d,) of a text, and by what it was embedded; "": it came with its search."""

    vector: Any
    embedded_by: str


@dataclass
class StoredVectors:
    """Finds vectors of texts among the searches that are stored.

    dimension: of the vectors that are wanted; searches of another do not count.
    model: what embeds texts now, "" for nothing; names_model: whether that names a model, so that
    searches of other ids count too. space: the number of the present embedding space.
    """

    queries: Records
    dimension: int
    model: str = ""
    names_model: bool = False
    space: int = 1
    _keys: dict[bytes, str] | None = field(default=None, init=False)
    """Digest of a text -> the id of a search that was embedded by `model`."""

    @classmethod
    def for_embedder(
        cls, queries: Records, embedder: Embedder | None, space: int, dimension: int
    ) -> StoredVectors:
        """Return the vectors that `embedder` need not make again."""
        if embedder is None:
            return cls(queries, dimension, space=space)
        return cls(queries, dimension, embedder.name, embedder.names_model, space)

    def find(self, searches: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], StoredVector]:
        """Return the vectors that are known of `searches`, each a query id and its text."""
        wanted = set(searches)
        found = self._find_by_id(wanted)
        if self.names_model and wanted - found.keys():
            found |= self._find_by_text(wanted - found.keys())
        return found

    def _find_by_id(self, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], StoredVector]:
        records = self.queries.get(sorted({query_id for query_id, _ in wanted})) if wanted else []
        found = {(record.key, record.document.get("text")): record for record in records}
        return {
            (query_id, text): _read_vector(record)
            for (query_id, text), record in found.items()
            if (query_id, text) in wanted and isinstance(text, str) and self._is_usable(record)
        }

    def _is_usable(self, record: Record) -> bool:
        if not self._fits(record):
            return False
        if not self.model:
            return True
        is_of_space = self.space <= 1 or record.document.get(SPACE_FIELD, 1) == self.space
        embedded_by = record.document.get(EMBEDDED_BY_FIELD, self.model)
        return bool(is_of_space and embedded_by == self.model)

    def _fits(self, record: Record) -> bool:
        return record.vector is not None and len(record.vector) == self.dimension

    def _find_by_text(self, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], StoredVector]:
        if self._keys is None:
            self._keys = self._read_keys()
        keys = {search: self._keys.get(_digest(search[1])) for search in wanted}
        records = self.queries.get(sorted({key for key in keys.values() if key is not None}))
        by_key = {record.key: record for record in records if self._fits(record)}
        return {
            search: _read_vector(by_key[key])
            for search, key in keys.items()
            if key in by_key and by_key[key].document.get("text") == search[1]
        }

    def _read_keys(self) -> dict[bytes, str]:
        keys: dict[bytes, str] = {}
        for batch in self.queries.scan(vectors=False):
            for record in batch:
                text = record.document.get("text")
                is_embedded = record.document.get(EMBEDDED_BY_FIELD) == self.model
                is_of_space = record.document.get(SPACE_FIELD, 1) == self.space
                if is_embedded and is_of_space and isinstance(text, str):
                    keys[_digest(text)] = record.key
            if len(keys) >= _MAX_TEXTS:
                break
        return keys


def _read_vector(record: Record) -> StoredVector:
    return StoredVector(record.vector, str(record.document.get(EMBEDDED_BY_FIELD) or ""))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES
    ).digest()
