"""Encoders of names as numbers, and the builder that takes events as they are read.

Columns take 37 bytes an event; 32 bytes a search, its query id, and 4 for each point shown, or 8
once a search logs propensities; and each session and client name once. Those that are large lie in
temporary files. In memory stay 12 bytes for each query id that events name and for each name of a
session or a client, which are looked up by a hash of 64 bits, and each distinct query vector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64, Int32, Int64
from nudge_sync.base.spooled import SpooledColumn
from nudge_sync.connector import PointId
from nudge_sync.feedback.blocks.columns import EventBlock
from nudge_sync.feedback.log.columns import LABEL_ACTIONS, OPINION_ACTION
from nudge_sync.feedback.log.id_encoding import (
    IdEncoder,
    IntegerInterner,
    StringInterner,
    hash_strings,
)
from nudge_sync.feedback.log.strings import PackedStrings, Strings
from nudge_sync.feedback.log.validation import EventBatch

_FLUSH_SIZE = 2**16
"""Values that are encoded at a time: each time costs a pass over all values known so far."""


class EncodedColumn:
    """A column of values that an encoder turns into small numbers, many at a time."""

    def __init__(self, encode: Callable[[Any], Int32]) -> None:
        self._encode = encode
        self._numbers = SpooledColumn(np.int32)
        self._pending: list[Any] = []

    def extend(self, values: Iterable[Any]) -> None:
        """Append `values`."""
        self._pending.extend(values)
        if len(self._pending) >= _FLUSH_SIZE:
            self.flush()

    def extend_rows(self, values: Strings | Sequence[PointId] | Int64, rows: Int32) -> None:
        """Append `values[row]` for each of the rows, (n,); a value without a row is not encoded."""
        self.flush()
        is_used = np.zeros(len(values), np.bool_)
        is_used[rows] = True
        if is_used.any():
            numbers = np.zeros(len(values), np.int32)
            numbers[is_used] = self._encode(_select(values, is_used))
            self._numbers.extend(numbers[rows])

    def extend_numbers(self, numbers: Int32) -> None:
        """Append values that the encoder has turned into numbers already."""
        self.flush()
        self._numbers.extend(numbers)

    def take(self) -> SpooledColumn:
        """Return the numbers of all flushed values, and forget them."""
        numbers, self._numbers = self._numbers, SpooledColumn(np.int32)
        return numbers

    def flush(self) -> None:
        """Encode the values that still wait."""
        if self._pending:
            self._numbers.extend(self._encode(self._pending))
            self._pending = []


@dataclass(slots=True)
class Encoders:
    """The encoders that searches and events share, so that equal values get equal numbers."""

    query_ids: IntegerInterner = field(default_factory=IntegerInterner)
    """Those that events name."""
    points: IdEncoder = field(default_factory=IdEncoder)
    sessions: StringInterner = field(default_factory=StringInterner)
    clients: StringInterner = field(default_factory=StringInterner)

    def encode_query_ids(self, query_ids: Strings) -> Int32:
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
        self.weight, self.time = SpooledColumn(np.float64), SpooledColumn(np.float64)
        self.rank, self.is_label = SpooledColumn(np.int32), SpooledColumn(np.bool_)
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
        weights = self._compute_weights(batch)
        self.weight.extend(weights)
        self.time.extend(batch.timestamp)
        self.rank.extend([position or 0 for position in batch.position])
        is_label = {name: self._is_label(name) for name in set(batch.action_name)}
        self.is_label.extend(
            is_label[name] or (name == OPINION_ACTION and weight <= 0)
            for name, weight in zip(batch.action_name, weights, strict=True)
        )

    def count_actions(self, names: Sequence[str], counts: Int64) -> Float64:
        """Count events by their action, and return the weight of each action, NaN where it has
        none, (a,).
        """
        for name, count in zip(names, counts.tolist(), strict=True):
            if count:
                self.action_counts[name] += count
        weights = np.array([self._action_weights.get(name, nan) for name in names], np.float64)
        self.unweighted_events += int(counts[np.isnan(weights)].sum())
        return weights

    def mark_labels(
        self, names: Sequence[str], actions: NDArray[Any], weights: Float64
    ) -> NDArray[np.bool_]:
        """Return which events are labels, (n,).

        actions: (n,), rows of `names`, of actions with a weight.  weights: (n,), times the grades.
        """
        is_label = np.array([self._is_label(name) for name in names], np.bool_)
        is_opinion = np.array([name == OPINION_ACTION for name in names], np.bool_)
        return np.asarray(is_label[actions] | (is_opinion[actions] & (weights <= 0)))

    def add_block(self, block: EventBlock) -> None:
        """Take the events of a block as `add_batch` takes them one by one."""
        counts = np.bincount(block.action, minlength=len(block.action_names))
        action_weights = self.count_actions(block.action_names, counts)
        keep = ~np.isnan(action_weights)[block.action]
        action = block.action[keep]
        weights = apply_grades(action_weights[action], block.grade[keep])
        self.search.extend_rows(block.query_ids, block.query[keep])
        self.point.extend_rows(block.point_ids, block.point[keep])
        self.session.extend_rows(block.session_ids, block.session[keep])
        self.client.extend_rows(block.client_ids, block.client[keep])
        self.weight.extend(weights)
        self.time.extend(block.time[keep])
        self.rank.extend(block.rank[keep])
        self.is_label.extend(self.mark_labels(block.action_names, action, weights))

    def add_columns(self, columns: EventColumns) -> None:
        """Take events whose actions are counted already and have a weight."""
        self.search.extend_numbers(columns.search)
        self.point.extend_numbers(columns.point)
        self.session.extend_numbers(columns.session)
        self.client.extend_numbers(columns.client)
        self.weight.extend(columns.weight)
        self.time.extend(columns.time)
        self.rank.extend(columns.rank)
        self.is_label.extend(columns.is_label)

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
        """Return whether every event with this action is a label."""
        return action in LABEL_ACTIONS or self._action_weights.get(action, nan) <= 0


def _select(values: Any, mask: NDArray[np.bool_]) -> Any:
    """Return the values of a mask, (n,), in the form in which all of them are."""
    if mask.all():
        return values
    if isinstance(values, PackedStrings):
        return values.take(mask)
    return values[mask] if isinstance(values, np.ndarray) else list(compress(values, mask))


def _apply_grade(weight: float, grade: float | None) -> float:
    if grade is None:
        return weight
    # A negative action with a negative grade stays negative.
    return weight * grade if grade > 0 else -abs(weight * grade)


def apply_grades(weights: Float64, grades: Float64) -> Float64:
    """Return the weights of actions times their grades, (n,); a grade of NaN is none.

    A negative action with a negative grade stays negative.
    """
    products = weights * grades
    graded = np.where(grades > 0, products, -np.abs(products))
    return np.where(np.isnan(grades), weights, graded)
