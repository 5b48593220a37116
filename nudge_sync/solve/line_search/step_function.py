"""A metric as an exact function of the angle: a constant for each query, and steps up or down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64
from nudge_sync.metrics import RankingMetric
from nudge_sync.solve.line_search.crossings import Crossings, find_crossings
from nudge_sync.solve.line_search.curves import Curves
from nudge_sync.solve.problem import Rows
from nudge_sync.solve.relevance import index_in_group

PAIRS_PER_BLOCK = 1 << 19
"""Pairs of curves looked at together: about 150 MB while they are."""
MAX_PAIRS_PER_QUERY = 200
"""Pairs of curves a query from which looking at half the angles at a time is cheaper."""
MIN_BISECTION_WIDTH = 0.05
"""Radians."""
MIN_STRETCH_WIDTH = 1e-6
"""A stretch that float32 scores cannot tell from a point."""
MEAN_TOLERANCE = 1e-12
"""Means nearer than this are one value reached by a different order of additions."""


@dataclass(frozen=True)
class StepFunction:
    """The metric of each of q queries as a step function of the angle."""

    initial: Float64
    """(q,): at first."""
    angle: Float64
    """(s,): ascending."""
    query: Rows
    """(s,)"""
    rise: Float64
    """(s,)"""

    @classmethod
    def concatenate(cls, parts: Sequence[StepFunction]) -> StepFunction:
        """Several sets of queries as one, in the order given."""
        shift = np.cumsum([0, *(len(part.initial) for part in parts)])
        angle = np.concatenate([part.angle for part in parts])
        query = np.concatenate([part.query + low for part, low in zip(parts, shift, strict=False)])
        order = np.lexsort((query, angle))
        rise = np.concatenate([part.rise for part in parts])[order]
        return cls(
            np.concatenate([part.initial for part in parts]), angle[order], query[order], rise
        )

    def append(self, later: StepFunction, angle: float) -> StepFunction:
        """These steps up to `angle`, and `later`, which starts there."""
        jump = later.initial - self.evaluate(angle)
        query = np.flatnonzero(np.abs(jump) > MEAN_TOLERANCE)
        return StepFunction(
            self.initial,
            np.concatenate([self.angle, np.full(len(query), angle), later.angle]),
            np.concatenate([self.query, query, later.query]),
            np.concatenate([self.rise, jump[query], later.rise]),
        )

    def select_queries(self, queries: NDArray[np.bool_]) -> StepFunction:
        """The steps of some of the queries, a mask (q,); the others are 0 throughout."""
        is_selected = queries[self.query]
        initial = np.where(queries, self.initial, 0.0)
        return StepFunction(
            initial, self.angle[is_selected], self.query[is_selected], self.rise[is_selected]
        )

    def cross_validate(self, limit: float, groups: int = 5) -> Float64:
        """The metric of each query at the angle that the other queries would choose: (q,).

        Without it the best of thousands of angles looks better than it is.
        """
        group = np.arange(len(self.initial)) % groups
        values = np.zeros(len(self.initial))
        for number in range(groups):
            angle, _ = self.select_queries(group != number).find_best(limit)
            values = np.where(group == number, self.evaluate(angle), values)
        return values

    def evaluate(self, angle: float) -> Float64:
        """The metric of each query at `angle`: (q,)."""
        past = int(np.searchsorted(self.angle, angle))
        rises = np.bincount(self.query[:past], self.rise[:past], minlength=len(self.initial))
        return np.asarray(self.initial + rises)

    def find_best(self, limit: float) -> tuple[float, float]:
        """The angle with the highest mean, the smallest of equals, and that mean."""
        means = (self.initial.sum() + np.append(0.0, np.cumsum(self.rise))) / len(self.initial)
        lows, highs = np.append(0.0, self.angle), np.append(self.angle, limit)
        means[highs - lows < MIN_STRETCH_WIDTH] = -np.inf
        pick = int(np.flatnonzero(means >= means.max() - MEAN_TOLERANCE)[0])
        angle = 0.0 if pick == 0 else roundest_number(lows[pick], highs[pick])
        return angle, float(means[pick])


def roundest_number(low: float, high: float) -> float:
    """The number with the fewest decimals strictly inside an interval.

    Rounding errors of the scores shift a step by 1e-7; the angle chosen does not follow them.
    """
    for decimals in range(1, 12):
        number = round((np.floor(low * 10**decimals) + 1) / 10**decimals, decimals)
        if low < number < high:
            return float(number)
    return float((low + high) / 2)


def build_step_function(
    curves: Curves, ideal: Float64, metric: RankingMetric, limit: float
) -> StepFunction:
    """The metric of q queries, given the curves of their candidates and `ideal`, (q,) > 0."""
    return _bisect(curves, ideal, metric, 0.0, limit)


def _bisect(
    curves: Curves, ideal: Float64, metric: RankingMetric, low: float, high: float
) -> StepFunction:
    """Halved until few points can be among the best: over a short stretch that is so."""
    contenders = curves.select_contenders(metric.depth, low, high)
    if high - low <= MIN_BISECTION_WIDTH or contenders.count_pairs() <= MAX_PAIRS_PER_QUERY * len(
        ideal
    ):
        return _build_stretch(contenders, ideal, metric, low, high)
    middle = (low + high) / 2
    earlier = _bisect(contenders, ideal, metric, low, middle)
    return earlier.append(_bisect(contenders, ideal, metric, middle, high), middle)


def _build_stretch(
    curves: Curves, ideal: Float64, metric: RankingMetric, low: float, high: float
) -> StepFunction:
    initial = np.zeros(len(ideal))
    blocks: list[tuple[Float64, Rows, Float64]] = []
    follow_ranks = _follow_first_rank if metric.kind == "mrr" else _follow_every_rank
    for candidate, rival in _iterate_pairs(curves):
        pair_crossings = find_crossings(curves, candidate, rival, low, high)
        start, changes = follow_ranks(curves, candidate, rival, pair_crossings, metric)
        initial += np.bincount(*start, minlength=len(ideal))
        blocks.append(changes)
    angle, query, rise = (np.concatenate(part) for part in zip(*blocks, strict=True))
    order = np.lexsort((query, angle))
    query = query[order]
    return StepFunction(initial / ideal, angle[order], query, rise[order] / ideal[query])


def _iterate_pairs(curves: Curves) -> Iterator[tuple[Rows, Rows]]:
    """Each relevant candidate with each candidate of its query (itself too), whole queries."""
    count = np.bincount(curves.query)
    first = np.cumsum(count) - count
    relevant = np.flatnonzero(curves.gain > 0)
    width = count[curves.query[relevant]] if len(relevant) else np.empty(0, np.int64)
    block = np.cumsum(width) // PAIRS_PER_BLOCK
    # A query is never split over two blocks.
    block = np.maximum.accumulate(
        block[np.searchsorted(curves.query[relevant], curves.query[relevant])]
    )
    for number in np.unique(block) if len(block) else [0]:
        mine = relevant[block == number]
        wide = count[curves.query[mine]]
        candidate = np.repeat(mine, wide)
        yield candidate, np.repeat(first[curves.query[mine]], wide) + index_in_group(candidate)


def _follow_every_rank(
    curves: Curves, candidate: Rows, _: Rows, pair_crossings: Crossings, metric: RankingMetric
) -> tuple[tuple[Rows, Float64], tuple[Float64, Rows, Float64]]:
    """NDCG and recall: every relevant candidate counts by its own rank."""
    items = np.unique(candidate)
    start = np.bincount(candidate[pair_crossings.rival_leads], minlength=len(curves.query))
    events = (candidate[pair_crossings.pair], pair_crossings.angle, pair_crossings.change)
    return _weigh_changes(items, start, curves.query, curves.gain, events, metric)


def _follow_first_rank(
    curves: Curves, candidate: Rows, rival: Rows, pair_crossings: Crossings, metric: RankingMetric
) -> tuple[tuple[Rows, Float64], tuple[Float64, Rows, Float64]]:
    """MRR: the best relevant candidate counts; a rival is ahead of it if ahead of them all."""
    queries = np.unique(curves.query[candidate])
    relevant = np.bincount(curves.query, curves.gain > 0).astype(np.int64)
    all_of_them = np.where(curves.gain > 0, np.iinfo(np.int64).max, relevant[curves.query])
    beaten = np.bincount(rival[pair_crossings.rival_leads], minlength=len(curves.query))
    first = np.bincount(curves.query[beaten == all_of_them], minlength=len(relevant))
    order, before, after = _accumulate_changes(
        beaten, rival[pair_crossings.pair], pair_crossings.angle, pair_crossings.change
    )
    rivals = rival[pair_crossings.pair][order]
    change = (after == all_of_them[rivals]).astype(np.int64) - (before == all_of_them[rivals])
    events = (curves.query[rivals], pair_crossings.angle[order], change)
    whole = np.arange(len(relevant))
    return _weigh_changes(queries, first, whole, np.ones(len(relevant)), events, metric)


def _accumulate_changes(
    start: Rows, item: Rows, angle: Float64, change: Rows
) -> tuple[Rows, Rows, Rows]:
    """Events in order of (item, angle), and each item's count before and after each of them."""
    order = np.lexsort((angle, item))
    item, change = item[order], change[order]
    total = np.cumsum(change)
    index = index_in_group(item)
    opening = np.arange(len(item)) - index
    after = start[item] + total - total[opening] + change[opening]
    return order, after - change, after


def _weigh_changes(
    items: Rows,
    start: Rows,
    query: Rows,
    gain: Float64,
    events: tuple[Rows, Float64, Rows],
    metric: RankingMetric,
) -> tuple[tuple[Rows, Float64], tuple[Float64, Rows, Float64]]:
    """What items are worth by how many are ahead of them, at first and at each event."""
    discounts = metric.discounts()
    item, angle, change = events
    order, before, after = _accumulate_changes(start, item, angle, change)
    item = item[order]
    rise = discounts[np.minimum(after, metric.depth)] - discounts[np.minimum(before, metric.depth)]
    is_changed = rise != 0
    changes = (angle[order][is_changed], query[item][is_changed], (gain[item] * rise)[is_changed])
    initial = gain[items] * discounts[np.minimum(start[items], metric.depth)]
    return (query[items], initial), changes
