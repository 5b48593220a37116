"""The metric of each query as an exact step function of the angle.

The metric depends on ranks alone, so it is constant between the crossings of score curves: each
query starts at a value and rises or falls by a known amount at known angles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64
from nudge_sync.metrics import RankingMetric
from nudge_sync.solve.line_search.crossings import Crossings, find_crossings
from nudge_sync.solve.line_search.curves import Curves
from nudge_sync.solve.problem import Rows
from nudge_sync.solve.relevance import index_in_group

PAIRS_PER_BLOCK = 1 << 19
"""Pairs of curves handled at once: about 150 MB of arrays."""
MAX_PAIRS_PER_QUERY = 200
"""Pairs of curves per query from which it is cheaper to halve the range of angles."""
MIN_BISECTION_WIDTH = 0.05
"""Narrowest range of angles, in radians, that is halved."""
MIN_STRETCH_WIDTH = 1e-6
"""Narrowest stretch between two steps, in radians, that float32 scores can resolve."""
MEAN_TOLERANCE = 1e-12
"""Largest difference of means that are one value, summed in a different order."""
TUNING_GROUPS = 5
"""Groups of queries, of which each is measured at the angle that the others choose."""


@dataclass(frozen=True)
class StepFunction:
    """The metric of each of q queries as a step function of the angle, with s steps in all."""

    initial: Float64
    """(q,): the metric at angle 0."""
    angle: Float64
    """(s,): where each step is, ascending, in radians."""
    query: Rows
    """(s,): whose metric changes."""
    rise: Float64
    """(s,): by how much; negative for a fall."""

    @classmethod
    def constant(cls, values: Float64) -> StepFunction:
        """Return the function without steps: the metric of each query, (q,), at every angle."""
        no_rows = np.empty(0, np.int64)
        return cls(values, np.empty(0), no_rows, np.empty(0))

    @classmethod
    def concatenate(cls, parts: Sequence[StepFunction]) -> StepFunction:
        """Return one step function over the queries of all `parts`, in the order given."""
        shift = np.cumsum([0, *(len(part.initial) for part in parts)])
        angle = np.concatenate([part.angle for part in parts])
        query = np.concatenate([part.query + low for part, low in zip(parts, shift, strict=False)])
        order = np.lexsort((query, angle))
        rise = np.concatenate([part.rise for part in parts])[order]
        return cls(
            np.concatenate([part.initial for part in parts]), angle[order], query[order], rise
        )

    def append(self, later: StepFunction, angle: float) -> StepFunction:
        """Return these steps up to `angle`, followed by those of `later`, which starts there."""
        jump = later.initial - self.evaluate(angle)
        query = np.flatnonzero(np.abs(jump) > MEAN_TOLERANCE)
        return StepFunction(
            self.initial,
            np.concatenate([self.angle, np.full(len(query), angle), later.angle]),
            np.concatenate([self.query, query, later.query]),
            np.concatenate([self.rise, jump[query], later.rise]),
        )

    def select_queries(self, queries: NDArray[np.bool_]) -> StepFunction:
        """Keep the steps of some of the queries, a mask (q,); the others are 0 at every angle."""
        is_selected = queries[self.query]
        initial = np.where(queries, self.initial, 0.0)
        return StepFunction(
            initial, self.angle[is_selected], self.query[is_selected], self.rise[is_selected]
        )

    def scale(self, weights: Float64) -> StepFunction:
        """Return the metric of each query times its weight, (q,)."""
        return replace(self, initial=self.initial * weights, rise=self.rise * weights[self.query])

    def cross_validate(self, limit: float, weights: Float64) -> Float64:
        """Return the metric of each query at the angle that other queries choose: (q,).

        weights: (q,), of each query in the mean that is maximised.
        The best of thousands of angles looks better on the queries that chose it than it is.
        """
        group = np.arange(len(self.initial)) % TUNING_GROUPS
        values, weighted = np.zeros(len(self.initial)), self.scale(weights)
        for number in range(TUNING_GROUPS):
            angle, _ = weighted.select_queries(group != number).find_best(limit)
            values = np.where(group == number, self.evaluate(angle), values)
        return values

    def evaluate(self, angle: float) -> Float64:
        """Return the metric of each query at `angle`: (q,)."""
        past = int(np.searchsorted(self.angle, angle))
        rises = np.bincount(self.query[:past], self.rise[:past], minlength=len(self.initial))
        return np.asarray(self.initial + rises)

    def find_best(self, limit: float) -> tuple[float, float]:
        """Return the angle up to `limit` with the highest mean metric, and that mean.

        Of equal means the smallest angle is taken.
        """
        means = (self.initial.sum() + np.append(0.0, np.cumsum(self.rise))) / len(self.initial)
        lows, highs = np.append(0.0, self.angle), np.append(self.angle, limit)
        means[highs - lows < MIN_STRETCH_WIDTH] = -np.inf
        pick = int(np.flatnonzero(means >= means.max() - MEAN_TOLERANCE)[0])
        angle = 0.0 if pick == 0 else roundest_number(lows[pick], highs[pick])
        return angle, float(means[pick])


def roundest_number(low: float, high: float) -> float:
    """Return the number with the fewest decimals strictly between `low` and `high`.

    Rounding errors of the scores shift a step by 1e-7; the chosen angle does not follow them.
    """
    for decimals in range(1, 12):
        number = round((np.floor(low * 10**decimals) + 1) / 10**decimals, decimals)
        if low < number < high:
            return float(number)
    return float((low + high) / 2)


def build_step_function(
    curves: Curves, ideal: Float64, metric: RankingMetric, limit: float
) -> StepFunction:
    """Build the metric of q queries over angles 0 to `limit` from the curves of their candidates.

    ideal: (q,), above 0, the best possible sum of discounted gains, by which each is divided.
    """
    return _bisect(curves, ideal, metric, 0.0, limit)


def _bisect(
    curves: Curves, ideal: Float64, metric: RankingMetric, low: float, high: float
) -> StepFunction:
    """Halve the range of angles until few candidates can be among the best in each half."""
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
    """Build the steps between two angles from all pairs of candidates."""
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
    """Yield blocks of pairs: each relevant candidate with each candidate of its query, itself too.

    A query is never split over two blocks.
    """
    count = np.bincount(curves.query)
    first = np.cumsum(count) - count
    relevant = np.flatnonzero(curves.gain > 0)
    width = count[curves.query[relevant]] if len(relevant) else np.empty(0, np.int64)
    block = np.cumsum(width) // PAIRS_PER_BLOCK
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
    """Follow NDCG or recall, where each relevant candidate counts by its own rank.

    Returns the queries and values at the lowest angle, and the angle, query and rise of each step.
    """
    items = np.unique(candidate)
    start = np.bincount(candidate[pair_crossings.rival_leads], minlength=len(curves.query))
    events = (candidate[pair_crossings.pair], pair_crossings.angle, pair_crossings.change)
    return _weigh_changes(items, start, curves.query, curves.gain, events, metric)


def _follow_first_rank(
    curves: Curves, candidate: Rows, rival: Rows, pair_crossings: Crossings, metric: RankingMetric
) -> tuple[tuple[Rows, Float64], tuple[Float64, Rows, Float64]]:
    """Follow MRR, where the best relevant candidate counts; a rival outranks it by outranking all.

    Returns the queries and values at the lowest angle, and the angle, query and rise of each step.
    """
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
    """Sort events by (item, angle), and sum their changes per item.

    start: count of each item at first.  item, angle, change: (e,).
    Returns the order, and the item's count before and after each event: (e,) each.
    """
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
    """Turn numbers of rivals ahead into discounted gains, at the lowest angle and at each event.

    items: the items that count.  start: rivals ahead of each item at first.  query, gain: of each
    item.  events: item, angle and change of the number of rivals ahead.
    """
    discounts = metric.discounts()
    item, angle, change = events
    order, before, after = _accumulate_changes(start, item, angle, change)
    item = item[order]
    rise = discounts[np.minimum(after, metric.depth)] - discounts[np.minimum(before, metric.depth)]
    is_changed = rise != 0
    changes = (angle[order][is_changed], query[item][is_changed], (gain[item] * rise)[is_changed])
    initial = gain[items] * discounts[np.minimum(start[items], metric.depth)]
    return (query[items], initial), changes
