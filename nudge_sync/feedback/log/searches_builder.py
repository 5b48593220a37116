"""The builder that takes searches as they are read and keeps them as columns of numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from math import nan

import numpy as np

from nudge_sync.base.arrays import Float32, Float64, Int32, Int64
from nudge_sync.base.spooled import SpooledColumn, list_parts
from nudge_sync.connector import PointId, Records
from nudge_sync.feedback.blocks.columns import SearchBlock
from nudge_sync.feedback.log.builder import EncodedColumn, Encoders
from nudge_sync.feedback.log.id_encoding import hash_strings
from nudge_sync.feedback.log.strings import PackedStringsBuilder
from nudge_sync.feedback.log.validation import SearchBatch
from nudge_sync.feedback.schema.records import compute_vector_digest

NO_VECTOR = -1
"""Stands for no usable vector; Python's `hash` is never -1."""
_FETCH_BATCH_SIZE = 1000


@dataclass(frozen=True, slots=True)
class SearchColumns:
    """Searches as columns of n values each; see `SearchesBuilder`."""

    query_ids: Sequence[str]
    query_number: Int32
    """Their numbers among the query ids that events name, or -1."""
    session: Int32
    """The numbers that the encoders gave, as of the next."""
    client: Int32
    shown: Int32
    """The numbers of the points shown, one search after the other."""
    shown_count: Int32
    time: Float64
    vector_hash: Int64


class SearchesBuilder:
    """The searches, in the order they are read.

    Equal vectors are kept once. They are recognised by the digest that each search states, and one
    of them is read afterwards; or, with `reads_vectors`, by the vectors, which come with the batch.
    """

    def __init__(self, dimension: int, encoders: Encoders, *, reads_vectors: bool) -> None:
        self.query_ids = PackedStringsBuilder()
        self.query_number = SpooledColumn(np.int32)
        """The number of the search among the query ids that events name, or -1."""
        self.session = EncodedColumn(encoders.sessions.encode)
        self.client = EncodedColumn(encoders.clients.encode)
        self.shown = EncodedColumn(encoders.points.encode)
        self.shown_count, self.time = SpooledColumn(np.int32), SpooledColumn(np.float64)
        self.propensities: SpooledColumn | None = None
        """One for each shown point, NaN where none is logged; None until a search logs some."""
        self.vector_hash = SpooledColumn(np.int64)
        """A hash that stands for the vector, or NO_VECTOR."""
        self.vector_by_hash: dict[int, tuple[str, Float32]] = {}
        """Hash -> digest, and the vector with length 1; only of searches that events name."""
        self.dimension = dimension
        self.reads_vectors = reads_vectors
        self._vector_shape = (dimension,)
        self._missing_vectors: dict[int, tuple[str, str]] = {}
        """Hash -> digest, and the key of a search that states it."""
        self._encoders = encoders
        self._shown_total = 0

    def add_batch(self, batch: SearchBatch) -> bool:
        """Take the searches. Return False where one states no digest: then all have to be read
        again, with their vectors.
        """
        query_ids = [record.key for record in batch.records]
        numbers = self.look_up_query_ids(query_ids)
        if self.reads_vectors:
            self._add_vectors([record.vector for record in batch.records], numbers)
        elif not self._add_digests(batch.digest, query_ids, numbers):
            return False
        self.query_ids.add(query_ids)
        self.query_number.extend(numbers)
        self.session.extend(batch.session_id)
        self.client.extend(batch.client_id)
        shown_lists = [shown_ids or () for shown_ids in batch.shown]
        self.shown.extend(chain.from_iterable(shown_lists))
        self.shown_count.extend(map(len, shown_lists))
        self._add_propensities(batch.propensities, shown_lists)
        self.time.extend(batch.timestamp)
        return True

    def add_block(self, block: SearchBlock) -> None:
        """Take the searches of a block, whose vectors are recognised by their digests."""
        numbers = self._encoders.query_ids.look_up(hash_strings(block.query_ids))
        hashes = list(map(hash, block.digests))
        self.vector_hash.extend(np.array(hashes, np.int64)[block.digest])
        searched = np.flatnonzero(numbers >= 0)
        digests, first = np.unique(block.digest[searched], return_index=True)
        for digest, row in zip(digests.tolist(), searched[first].tolist(), strict=True):
            if hashes[digest] not in self._missing_vectors:
                named = block.digests[digest], block.query_ids[row]
                self._missing_vectors[hashes[digest]] = named
        self.query_ids.add(block.query_ids)
        self.query_number.extend(numbers)
        self.session.extend_rows(block.session_ids, block.session)
        self.client.extend_rows(block.client_ids, block.client)
        self.shown.extend_rows(block.point_ids, block.shown)
        self.shown_count.extend(block.shown_count)
        self.time.extend(block.time)
        self._add_block_propensities(block)

    def add_columns(self, columns: SearchColumns) -> None:
        """Take searches without propensities, whose vectors are in `vector_by_hash` already."""
        self.query_ids.add(columns.query_ids)
        self.query_number.extend(columns.query_number)
        self.session.extend_numbers(columns.session)
        self.client.extend_numbers(columns.client)
        self.shown.extend_numbers(columns.shown)
        self.shown_count.extend(columns.shown_count)
        self.time.extend(columns.time)
        self.vector_hash.extend(columns.vector_hash)
        self._shown_total += len(columns.shown)
        if self.propensities is not None:
            self.propensities.extend(np.full(len(columns.shown), nan))

    def look_up_query_ids(self, query_ids: Sequence[str]) -> Int32:
        """Return the numbers of query ids among those that events name, or -1, (n,)."""
        return self._encoders.query_ids.look_up(hash_strings(query_ids))

    def add_vector(self, vector_hash: int, vector: Float32) -> None:
        """Take a vector of `dimension` numbers under the hash that stands for it."""
        self.vector_by_hash[vector_hash] = compute_vector_digest(vector), unit_vector(vector)

    def fetch_vectors(self, queries: Records) -> bool:
        """Read one vector for each digest. Return False where one does not match its digest."""
        missing = list(self._missing_vectors.items())
        for start in range(0, len(missing), _FETCH_BATCH_SIZE):
            batch = missing[start : start + _FETCH_BATCH_SIZE]
            vector_by_key = {
                record.key: record.vector for record in queries.get([key for _, (_, key) in batch])
            }
            for vector_hash, (digest, key) in batch:
                vector = vector_by_key.get(key)
                if vector is None or compute_vector_digest(vector) != digest:
                    return False
                if vector.shape == self._vector_shape:
                    self.vector_by_hash[vector_hash] = digest, unit_vector(vector)
        return True

    def flush(self) -> None:
        """Encode the values of all columns that still wait."""
        for column in (self.shown, self.session, self.client):
            column.flush()

    def _add_propensities(
        self, propensities: list[list[float] | None], shown_lists: Sequence[Collection[PointId]]
    ) -> None:
        if self.propensities is None and any(propensities):
            self._start_propensities()
        self._shown_total += sum(map(len, shown_lists))
        if self.propensities is not None:
            for logged, shown in zip(propensities, shown_lists, strict=True):
                self.propensities.extend(logged or [nan] * len(shown))

    def _start_propensities(self) -> None:
        """Log none for all points that were shown so far."""
        self.propensities = SpooledColumn(np.float32)
        for part in list_parts(self._shown_total):
            self.propensities.extend(np.full(part.stop - part.start, nan))

    def _add_block_propensities(self, block: SearchBlock) -> None:
        if self.propensities is None and len(block.propensities):
            self._start_propensities()
        self._shown_total += len(block.shown)
        if self.propensities is None:
            return
        logged = block.propensities
        if not len(logged):
            logged = np.full(len(block.shown), nan, np.float32)
        self.propensities.extend(logged)

    def _add_digests(self, digests: list[str | None], query_ids: list[str], numbers: Int32) -> bool:
        hashes = list(map(hash, digests))
        self.vector_hash.extend(hashes)
        if self._missing_vectors.keys() >= set(hashes):
            return True
        for row in np.flatnonzero(numbers >= 0).tolist():
            digest = digests[row]
            if digest is not None:
                self._missing_vectors.setdefault(hashes[row], (digest, query_ids[row]))
        return None not in digests

    def _add_vectors(self, vectors: list[Float32 | None], numbers: Int32) -> None:
        hashes = list(map(self._hash_vector, vectors))
        self.vector_hash.extend(hashes)
        if self.vector_by_hash.keys() >= set(hashes):
            return
        for row in np.flatnonzero(numbers >= 0).tolist():
            vector_hash, vector = hashes[row], vectors[row]
            if (
                vector_hash not in self.vector_by_hash
                and vector_hash != NO_VECTOR
                and vector is not None
            ):
                self.add_vector(vector_hash, vector)

    def _hash_vector(self, vector: Float32 | None) -> int:
        if vector is None or vector.shape != self._vector_shape:
            return NO_VECTOR
        return hash(vector.tobytes())


def unit_vector(vector: Float32) -> Float32:
    """Return the vector scaled to length 1 in float64; zeros where it has no direction."""
    wide = vector.astype(np.float64)
    norm = float(np.linalg.norm(wide))
    if not np.isfinite(norm) or norm == 0:
        return np.zeros_like(vector)
    return np.asarray(wide / norm, dtype=np.float32)
