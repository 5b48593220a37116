"""A metric as an exact function of the angle: a constant for each query, and steps up or down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nudge_sync.metrics import Metric
from nudge_sync.solve.line_search.crossings import Crossings, crossings
from nudge_sync.solve.line_search.curves import Curves
from nudge_sync.solve.problem import Float64, Rows
from nudge_sync.solve.relevance import positions

PAIRS = 1 << 19
"""Pairs of curves looked at together: about 150 MB while they are."""
CROWDED = 200
"""Pairs of curves a query from which looking at half the angles at a time is cheaper."""
SHORTEST = 0.05
"""Radians."""
NARROW = 1e-6
"""A stretch that float32 scores cannot tell from a point."""
EQUAL = 1e-12
"""Means nearer than this are one value reached by a different order of additions."""


@dataclass(frozen=True)
class Steps:
    """The metric of each of q queries as a step function of the angle."""

    base: Float64
    """(q,): at first."""
    angle: Float64
    """(s,): ascending."""
    query: Rows
    """(s,)"""
    rise: Float64
    """(s,)"""

    @classmethod
    def joined(cls, parts: Sequence[Steps]) -> Steps:
        """Several sets of queries as one, in the order given."""
        shift = np.cumsum([0, *(len(part.base) for part in parts)])
        angle = np.concatenate([part.angle for part in parts])
        query = np.concatenate([part.query + low for part, low in zip(parts, shift, strict=False)])
        order = np.lexsort((query, angle))
        rise = np.concatenate([part.rise for part in parts])[order]
        return cls(np.concatenate([part.base for part in parts]), angle[order], query[order], rise)

    def then(self, later: Steps, angle: float) -> Steps:
        """These steps up to `angle`, and `later`, which starts there."""
        jump = later.base - self.at(angle)
        query = np.flatnonzero(np.abs(jump) > EQUAL)
        return Steps(
            self.base,
            np.concatenate([self.angle, np.full(len(query), angle), later.angle]),
            np.concatenate([self.query, query, later.query]),
            np.concatenate([self.rise, jump[query], later.rise]),
        )

    def only(self, queries: NDArray[np.bool_]) -> Steps:
        """The steps of some of the queries, a mask (q,); the others are 0 throughout."""
        mine = queries[self.query]
        base = np.where(queries, self.base, 0.0)
        return Steps(base, self.angle[mine], self.query[mine], self.rise[mine])

    def honest(self, limit: float, groups: int = 5) -> Float64:
        """The metric of each query at the angle that the other queries would choose: (q,).

        Without it the best of thousands of angles looks better than it is.
        """
        group = np.arange(len(self.base)) % groups
        values = np.zeros(len(self.base))
        for number in range(groups):
            angle, _ = self.only(group != number).best(limit)
            values = np.where(group == number, self.at(angle), values)
        return values

    def at(self, angle: float) -> Float64:
        """The metric of each query at `angle`: (q,)."""
        past = int(np.searchsorted(self.angle, angle))
        rises = np.bincount(self.query[:past], self.rise[:past], minlength=len(self.base))
        return np.asarray(self.base + rises)

    def best(self, limit: float) -> tuple[float, float]:
        """The angle with the highest mean, the smallest of equals, and that mean."""
        means = (self.base.sum() + np.append(0.0, np.cumsum(self.rise))) / len(self.base)
        lows, highs = np.append(0.0, self.angle), np.append(self.angle, limit)
        means[highs - lows < NARROW] = -np.inf
        pick = int(np.flatnonzero(means >= means.max() - EQUAL)[0])
        angle = 0.0 if pick == 0 else roundest(lows[pick], highs[pick])
        return angle, float(means[pick])


def roundest(low: float, high: float) -> float:
    """The number with the fewest decimals strictly inside an interval.

    Rounding errors of the scores shift a step by 1e-7; the angle chosen does not follow them.
    """
    for decimals in range(1, 12):
        number = round((np.floor(low * 10**decimals) + 1) / 10**decimals, decimals)
        if low < number < high:
            return float(number)
    return float((low + high) / 2)


def steps(curves: Curves, ideal: Float64, metric: Metric, limit: float) -> Steps:
    """The metric of q queries, given the curves of their candidates and `ideal`, (q,) > 0."""
    return _between(curves, ideal, metric, 0.0, limit)


def _between(curves: Curves, ideal: Float64, metric: Metric, low: float, high: float) -> Steps:
    """Halved until few points can be among the best: over a short stretch that is so."""
    near = curves.contenders(metric.depth, low, high)
    if high - low <= SHORTEST or near.pairs() <= CROWDED * len(ideal):
        return _stretch(near, ideal, metric, low, high)
    middle = (low + high) / 2
    earlier = _between(near, ideal, metric, low, middle)
    return earlier.then(_between(near, ideal, metric, middle, high), middle)


def _stretch(curves: Curves, ideal: Float64, metric: Metric, low: float, high: float) -> Steps:
    base = np.zeros(len(ideal))
    found: list[tuple[Float64, Rows, Float64]] = []
    follow = _reciprocal if metric.kind == "mrr" else _additive
    for one, rival in _pairs(curves):
        met = crossings(curves, one, rival, low, high)
        start, changes = follow(curves, one, rival, met, metric)
        base += np.bincount(*start, minlength=len(ideal))
        found.append(changes)
    angle, query, rise = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((query, angle))
    query = query[order]
    return Steps(base / ideal, angle[order], query, rise[order] / ideal[query])


def _pairs(curves: Curves) -> Iterator[tuple[Rows, Rows]]:
    """Each relevant candidate with each candidate of its query (itself too), whole queries."""
    count = np.bincount(curves.query)
    first = np.cumsum(count) - count
    relevant = np.flatnonzero(curves.gain > 0)
    width = count[curves.query[relevant]] if len(relevant) else np.empty(0, np.int64)
    block = np.cumsum(width) // PAIRS
    # A query is never split over two blocks.
    block = np.maximum.accumulate(
        block[np.searchsorted(curves.query[relevant], curves.query[relevant])]
    )
    for number in np.unique(block) if len(block) else [0]:
        mine = relevant[block == number]
        wide = count[curves.query[mine]]
        one = np.repeat(mine, wide)
        yield one, np.repeat(first[curves.query[mine]], wide) + positions(one)


def _additive(
    curves: Curves, one: Rows, _: Rows, met: Crossings, metric: Metric
) -> tuple[tuple[Rows, Float64], tuple[Float64, Rows, Float64]]:
    """NDCG and recall: every relevant candidate counts by its own rank."""
    items = np.unique(one)
    start = np.bincount(one[met.ahead], minlength=len(curves.query))
    events = (one[met.pair], met.angle, met.change)
    return _worth(items, start, curves.query, curves.gain, events, metric)


def _reciprocal(
    curves: Curves, one: Rows, rival: Rows, met: Crossings, metric: Metric
) -> tuple[tuple[Rows, Float64], tuple[Float64, Rows, Float64]]:
    """MRR: the best relevant candidate counts; a rival is ahead of it if ahead of them all."""
    queries = np.unique(curves.query[one])
    relevant = np.bincount(curves.query, curves.gain > 0).astype(np.int64)
    all_of_them = np.where(curves.gain > 0, np.iinfo(np.int64).max, relevant[curves.query])
    beaten = np.bincount(rival[met.ahead], minlength=len(curves.query))
    first = np.bincount(curves.query[beaten == all_of_them], minlength=len(relevant))
    order, before, after = _running(beaten, rival[met.pair], met.angle, met.change)
    rivals = rival[met.pair][order]
    change = (after == all_of_them[rivals]).astype(np.int64) - (before == all_of_them[rivals])
    events = (curves.query[rivals], met.angle[order], change)
    whole = np.arange(len(relevant))
    return _worth(queries, first, whole, np.ones(len(relevant)), events, metric)


def _running(start: Rows, item: Rows, angle: Float64, change: Rows) -> tuple[Rows, Rows, Rows]:
    """Events in order of (item, angle), and each item's count before and after each of them."""
    order = np.lexsort((angle, item))
    item, change = item[order], change[order]
    total = np.cumsum(change)
    place = positions(item)
    opening = np.arange(len(item)) - place
    after = start[item] + total - total[opening] + change[opening]
    return order, after - change, after


def _worth(
    items: Rows,
    start: Rows,
    query: Rows,
    gain: Float64,
    events: tuple[Rows, Float64, Rows],
    metric: Metric,
) -> tuple[tuple[Rows, Float64], tuple[Float64, Rows, Float64]]:
    """What items are worth by how many are ahead of them, at first and at each event."""
    worth = metric.discounts()
    item, angle, change = events
    order, before, after = _running(start, item, angle, change)
    item = item[order]
    rise = worth[np.minimum(after, metric.depth)] - worth[np.minimum(before, metric.depth)]
    seen = rise != 0
    changes = (angle[order][seen], query[item][seen], (gain[item] * rise)[seen])
    base = gain[items] * worth[np.minimum(start[items], metric.depth)]
    return (query[items], base), changes
