"""Builders that take searches and events as they are read and keep them as columns of numbers.

Memory: 37 bytes an event; 32 bytes a search, its query id, and 4 for each point shown, or 8 once a
search logs propensities; each session and client name once; each distinct query vector once. Names
are looked up by a hash of 64 bits, since a dictionary of them would take more than all the rest.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32, Float64, Int32, Int64
from nudge_sync.connector import PointId, Records
from nudge_sync.feedback.blocks.columns import EventBlock, SearchBlock
from nudge_sync.feedback.log.columns import LABEL_ACTIONS
from nudge_sync.feedback.log.id_encoding import (
    IdEncoder,
    IntegerInterner,
    StringInterner,
    hash_strings,
)
from nudge_sync.feedback.log.strings import PackedStringsBuilder
from nudge_sync.feedback.log.validation import EventBatch, SearchBatch
from nudge_sync.feedback.schema.records import compute_vector_digest

NO_VECTOR = -1
"""Stands for no usable vector; Python's `hash` is never -1."""
_FETCH_BATCH_SIZE = 1000
_FLUSH_SIZE = 2**16
"""Values that are encoded at a time: each time costs a pass over all values known so far."""


class EncodedColumn:
    """A column of values that an encoder turns into small numbers, many at a time."""

    def __init__(self, encode: Callable[[list[Any]], Int32]) -> None:
        self._encode = encode
        self._numbers = array("i")
        self._pending: list[Any] = []

    def extend(self, values: Iterable[Any]) -> None:
        """Append `values`."""
        self._pending.extend(values)
        if len(self._pending) >= _FLUSH_SIZE:
            self.flush()

    def extend_rows(self, values: Sequence[Any], rows: Int32) -> None:
        """Append `values[row]` for each of the rows, (n,); a value without a row is not encoded."""
        self.flush()
        is_used = np.zeros(len(values), np.bool_)
        is_used[rows] = True
        used = np.flatnonzero(is_used)
        if len(used):
            numbers = np.zeros(len(values), np.int32)
            numbers[used] = self._encode([values[row] for row in used.tolist()])
            self._numbers.frombytes(numbers[rows].tobytes())

    def extend_numbers(self, numbers: Int32) -> None:
        """Append values that the encoder has turned into numbers already."""
        self.flush()
        self._numbers.frombytes(numbers.tobytes())

    def take(self) -> array[int]:
        """Return the numbers of all flushed values, and forget them."""
        numbers, self._numbers = self._numbers, array("i")
        return numbers

    def flush(self) -> None:
        """Encode the values that still wait."""
        if self._pending:
            self._numbers.frombytes(self._encode(self._pending).tobytes())
            self._pending = []


@dataclass(slots=True)
class Encoders:
    """The encoders that searches and events share, so that equal values get equal numbers."""

    query_ids: IntegerInterner = field(default_factory=IntegerInterner)
    """Those that events name."""
    points: IdEncoder = field(default_factory=IdEncoder)
    sessions: StringInterner = field(default_factory=StringInterner)
    clients: StringInterner = field(default_factory=StringInterner)

    def encode_query_ids(self, query_ids: list[str]) -> Int32:
        """Return the numbers of query ids that events name, new ones where needed, (n,)."""
        return self.query_ids.encode(hash_strings(query_ids))[0]


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Events with a weighted action as columns of n values each; see `EventsBuilder`."""

    search: Int32
    """The numbers that the encoders gave, as of the next three."""
    point: Int32
    session: Int32
    client: Int32
    weight: Float64
    time: Float64
    rank: Int32
    is_label: NDArray[np.bool_]


class EventsBuilder:
    """The events whose action has a weight, in the order they are read."""

    def __init__(self, action_weights: Mapping[str, float], encoders: Encoders) -> None:
        self.search = EncodedColumn(encoders.encode_query_ids)
        self.point = EncodedColumn(encoders.points.encode)
        self.session = EncodedColumn(encoders.sessions.encode)
        self.client = EncodedColumn(encoders.clients.encode)
        self.weight, self.time = array("d"), array("d")
        self.rank, self.is_label = array("i"), array("b")
        self.unweighted_events = 0
        self.action_counts: Counter[str] = Counter()
        """How many events there are of each action, with a weight or without."""
        self._action_weights = action_weights

    def add_batch(self, batch: EventBatch) -> None:
        """Take the events whose action has a weight; count all."""
        self.action_counts.update(batch.action_name)
        if not self._action_weights.keys() >= set(batch.action_name):
            has_weight = [name in self._action_weights for name in batch.action_name]
            batch = batch.select(has_weight)
            self.unweighted_events += len(has_weight) - sum(has_weight)
        self.search.extend(batch.query_id)
        self.point.extend(batch.object_id)
        self.session.extend(batch.session_id)
        self.client.extend(batch.client_id)
        self.weight.extend(self._compute_weights(batch))
        self.time.extend(batch.timestamp)
        self.rank.extend([position or 0 for position in batch.position])
        is_label = {name: self._is_label(name) for name in set(batch.action_name)}
        self.is_label.extend(map(is_label.__getitem__, batch.action_name))

    def count_actions(
        self, names: Sequence[str], counts: Int64
    ) -> tuple[Float64, NDArray[np.bool_]]:
        """Count events by their action; return the weight of each action, NaN where it has none,
        (a,), and whether it is a label, (a,).
        """
        for name, count in zip(names, counts.tolist(), strict=True):
            if count:
                self.action_counts[name] += count
        weights = np.array([self._action_weights.get(name, nan) for name in names], np.float64)
        self.unweighted_events += int(counts[np.isnan(weights)].sum())
        is_label = [name in self._action_weights and self._is_label(name) for name in names]
        return weights, np.array(is_label, np.bool_)

    def add_block(self, block: EventBlock) -> None:
        """Take the events of a block as `add_batch` takes them one by one."""
        counts = np.bincount(block.action, minlength=len(block.action_names))
        weights, is_label = self.count_actions(block.action_names, counts)
        keep = ~np.isnan(weights)[block.action]
        action = block.action[keep]
        self.search.extend_rows(block.query_ids, block.query[keep])
        self.point.extend_rows(block.point_ids, block.point[keep])
        self.session.extend_rows(block.session_ids, block.session[keep])
        self.client.extend_rows(block.client_ids, block.client[keep])
        self.weight.frombytes(_apply_grades(weights[action], block.grade[keep]).tobytes())
        self.time.frombytes(block.time[keep].tobytes())
        self.rank.frombytes(block.rank[keep].tobytes())
        self.is_label.frombytes(is_label[action].tobytes())

    def add_columns(self, columns: EventColumns) -> None:
        """Take events whose actions are counted already and have a weight."""
        self.search.extend_numbers(columns.search)
        self.point.extend_numbers(columns.point)
        self.session.extend_numbers(columns.session)
        self.client.extend_numbers(columns.client)
        self.weight.frombytes(columns.weight.tobytes())
        self.time.frombytes(columns.time.tobytes())
        self.rank.frombytes(columns.rank.tobytes())
        self.is_label.frombytes(columns.is_label.tobytes())

    def flush(self) -> None:
        """Encode the values of all columns that still wait."""
        for column in (self.search, self.point, self.session, self.client):
            column.flush()

    def _compute_weights(self, batch: EventBatch) -> list[float]:
        weights = list(map(self._action_weights.__getitem__, batch.action_name))
        if set(map(type, batch.grade)) == {type(None)}:
            return weights
        return list(map(_apply_grade, weights, batch.grade))

    def _is_label(self, action: str) -> bool:
        return action in LABEL_ACTIONS or self._action_weights[action] <= 0


def _apply_grade(weight: float, grade: float | None) -> float:
    if grade is None:
        return weight
    # A negative action with a negative grade stays negative.
    return weight * grade if grade > 0 else -abs(weight * grade)


def _apply_grades(weights: Float64, grades: Float64) -> Float64:
    """Return what `_apply_grade` gives for each event, (n,); a grade of NaN is none."""
    products = weights * grades
    graded = np.where(grades > 0, products, -np.abs(products))
    return np.where(np.isnan(grades), weights, graded)


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
        self.query_number = array("i")
        """The number of the search among the query ids that events name, or -1."""
        self.session = EncodedColumn(encoders.sessions.encode)
        self.client = EncodedColumn(encoders.clients.encode)
        self.shown = EncodedColumn(encoders.points.encode)
        self.shown_count, self.time = array("i"), array("d")
        self.propensities: array[float] | None = None
        """One for each shown point, NaN where none is logged; None until a search logs some."""
        self.vector_hash = array("q")
        """A hash that stands for the vector, or NO_VECTOR."""
        self.vector_by_hash: dict[int, tuple[str, Float32]] = {}
        """Hash -> digest, and the vector with length 1; only of searches that events name."""
        self.dimension = dimension
        self.reads_vectors = reads_vectors
        self._vector_shape = (dimension,)
        self._missing_vectors: dict[int, tuple[str, str]] = {}
        """Hash -> digest, and the key of a search that states it."""
        self._query_id_interner = encoders.query_ids
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
        self.query_number.frombytes(numbers.tobytes())
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
        numbers = self._query_id_interner.look_up(hash_strings(block.query_ids))
        hashes = np.array(list(map(hash, block.digests)), np.int64)
        self.vector_hash.frombytes(hashes[block.digest].tobytes())
        searched = np.flatnonzero(numbers >= 0)
        digests, first = np.unique(block.digest[searched], return_index=True)
        for digest, row in zip(digests.tolist(), searched[first].tolist(), strict=True):
            named = block.digests[digest], block.query_ids[row]
            self._missing_vectors.setdefault(hash(named[0]), named)
        self.query_ids.add(block.query_ids)
        self.query_number.frombytes(numbers.tobytes())
        self.session.extend_rows(block.session_ids, block.session)
        self.client.extend_rows(block.client_ids, block.client)
        self.shown.extend_rows(block.point_ids, block.shown)
        self.shown_count.frombytes(block.shown_count.tobytes())
        self.time.frombytes(block.time.tobytes())
        self._add_block_propensities(block)

    def add_columns(self, columns: SearchColumns) -> None:
        """Take searches without propensities, whose vectors are in `vector_by_hash` already."""
        self.query_ids.add(columns.query_ids)
        self.query_number.frombytes(columns.query_number.tobytes())
        self.session.extend_numbers(columns.session)
        self.client.extend_numbers(columns.client)
        self.shown.extend_numbers(columns.shown)
        self.shown_count.frombytes(columns.shown_count.tobytes())
        self.time.frombytes(columns.time.tobytes())
        self.vector_hash.frombytes(columns.vector_hash.tobytes())
        self._shown_total += len(columns.shown)
        if self.propensities is not None:
            self.propensities.extend([nan] * len(columns.shown))

    def look_up_query_ids(self, query_ids: Sequence[str]) -> Int32:
        """Return the numbers of query ids among those that events name, or -1, (n,)."""
        return self._query_id_interner.look_up(hash_strings(query_ids))

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
            self.propensities = array("f", [nan]) * self._shown_total
        self._shown_total += sum(map(len, shown_lists))
        if self.propensities is not None:
            for logged, shown in zip(propensities, shown_lists, strict=True):
                self.propensities.extend(logged or [nan] * len(shown))

    def _add_block_propensities(self, block: SearchBlock) -> None:
        if self.propensities is None and len(block.propensities):
            self.propensities = array("f", [nan]) * self._shown_total
        self._shown_total += len(block.shown)
        if self.propensities is None:
            return
        logged = block.propensities
        if not len(logged):
            logged = np.full(len(block.shown), nan, np.float32)
        self.propensities.frombytes(logged.tobytes())

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
