"""How the score of each point that matters changes with the angle, for each validation query.

A query scores a judged point a cos t + b sin t up to the point's stop and stays there; points
nobody judged score the same at every angle. Two matrix products give all a and b. A point whose
best score stays under the k-th best of all worst scores never enters the top k and is dropped,
so that a handful of curves a query is left, whatever the size of the collection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.threads import map_in_threads
from nudge_sync.metrics import Metric
from nudge_sync.solve.line_search.paths import Paths, chunks
from nudge_sync.solve.problem import Float32, Float64, Queries, Rows
from nudge_sync.solve.relevance import lookup, positions

QUERY_BLOCK, POINT_BLOCK = 1024, 1024
CROWDED = 0.25
"""Share of a block that may survive before the block's own ranks are used to raise the floor."""


@dataclass(frozen=True)
class Curves:
    """One row for each (query, candidate), sorted by query, then unjudged first, then row."""

    query: Rows
    cosine: Float64
    """(m,): the score at angle 0."""
    sine: Float64
    """(m,): the score is cosine * cos(t) + sine * sin(t), up to `stop`."""
    stop: Float64
    gain: Float64
    """(m,): what the metric gives for the candidate; 0 where it is not relevant."""

    def only(self, rows: NDArray[np.bool_] | Rows) -> Curves:
        """Some of the curves: row numbers or a mask."""
        return Curves(
            self.query[rows], self.cosine[rows], self.sine[rows], self.stop[rows], self.gain[rows]
        )

    def pairs(self) -> int:
        """How many pairs of a relevant candidate and another of its query there are."""
        relevant = np.bincount(self.query, self.gain > 0)
        return int(relevant @ np.bincount(self.query))

    def range(self, low: float, high: float) -> tuple[Float64, Float64]:
        """The lowest and the highest score of each curve over angles `low` to `high`."""
        first, last = np.minimum(self.stop, low), np.minimum(self.stop, high)
        ends = self.cosine * np.cos(first) + self.sine * np.sin(first)
        other = self.cosine * np.cos(last) + self.sine * np.sin(last)
        least, most = np.minimum(ends, other), np.maximum(ends, other)
        radius, peak = np.hypot(self.cosine, self.sine), np.arctan2(self.sine, self.cosine)
        most = np.where((peak > first) & (peak < last), radius, most)
        least = np.where((peak + np.pi > first) & (peak + np.pi < last), -radius, least)
        return least, most

    def contenders(self, depth: int, low: float, high: float) -> Curves:
        """Those that can be among the best `depth` of their query between `low` and `high`."""
        least, most = self.range(low, high)
        order = np.lexsort((-least, self.query))
        last = order[positions(self.query[order]) == depth - 1]
        floor = np.full(int(self.query.max(initial=-1)) + 1, -np.inf)
        floor[self.query[last]] = least[last]
        return self.only(most >= floor[self.query])


def curves(paths: Paths, queries: Queries, metric: Metric, limit: float) -> Curves:
    """The curves of all candidates of all queries, over angles 0 to `limit`."""
    found = [_fixed(paths, queries, metric, limit)]
    for part in chunks(len(queries), QUERY_BLOCK):
        found += _judged(paths, queries.only(np.arange(part.start, part.stop)), part, metric, limit)
    joined = Curves(
        np.concatenate([one.query for one in found]),
        np.concatenate([one.cosine for one in found]),
        np.concatenate([one.sine for one in found]),
        np.concatenate([one.stop for one in found]),
        np.concatenate([one.gain for one in found]),
    )
    ordered = joined.only(np.argsort(joined.query, kind="stable"))
    return ordered.contenders(metric.depth, 0.0, limit)


def _fixed(paths: Paths, queries: Queries, metric: Metric, limit: float) -> Curves:
    """The unjudged points, as curves."""
    scores = queries.unjudged[:, : metric.depth].astype(np.float64)
    query, place = np.nonzero(np.isfinite(scores))
    still = np.zeros(len(query))
    stop = np.full(len(query), limit) if paths.fades else still
    return Curves(query, scores[query, place], still, stop, still)


def _judged(
    paths: Paths, queries: Queries, part: slice, metric: Metric, limit: float
) -> list[Curves]:
    floor = queries.unjudged[:, metric.depth - 1].astype(np.float32)
    floor = np.minimum(floor, floor * np.float32(np.cos(limit) if paths.fades else 1))

    def block(rows: slice) -> Curves:
        near = queries.vectors @ paths.start[rows].T
        far = queries.vectors @ paths.end[rows].T
        best, low = np.maximum(near, far), floor
        query, column = _above(best, _reachable(low, limit))
        if len(query) > CROWDED * best.size and best.shape[1] > metric.depth:
            low = np.maximum(low, _own_floor(near, far, metric.depth, limit))
            query, column = _above(best, _reachable(low, limit))
        point = column + rows.start
        start, end = (side[query, column].astype(np.float64) for side in (near, far))
        gain = metric.gains(lookup(queries.relevance, query, point))
        stop = paths.stop[point]
        return Curves(query + part.start, start, _sine(start, end, stop), stop, gain)

    return map_in_threads(block, list(chunks(len(paths.start), POINT_BLOCK)))


def _sine(start: Float64, end: Float64, stop: Float64) -> Float64:
    moves = stop > 0
    return np.where(moves, (end - start * np.cos(stop)) / np.where(moves, np.sin(stop), 1.0), 0.0)


def _reachable(floor: Float32, limit: float) -> Float32:
    """What the better end has to score for the path between to come up to `floor`.

    The weights of the two ends are not negative and sum to between 1 and 1 / cos(limit / 2).
    """
    slack = np.float32(1e-5)
    return np.where(floor > 0, floor * np.float32(np.cos(limit / 2)), floor) - slack


def _own_floor(near: Float32, far: Float32, depth: int, limit: float) -> Float32:
    """A score that `depth` points of this block keep at every angle: (q,)."""
    worst = np.minimum(near, far)
    worst = np.where(worst < 0, worst / np.float32(np.cos(limit / 2)), worst)
    place = worst.shape[1] - depth
    return np.partition(worst, place, axis=1)[:, place]


def _above(scores: Float32, floor: Float32) -> tuple[Rows, Rows]:
    """Where scores, (q, n), are above the floor of their query, (q,): queries and columns."""
    hits = scores > floor[:, None]
    flat = hits.ravel()
    if flat.size % 8:
        query, column = np.nonzero(hits)
        return query, column
    # Eight flags at a time: hits are rare, and looking for them costs as much as the product.
    words = np.flatnonzero(flat.view(np.uint64))
    inside, bit = np.nonzero(flat.reshape(-1, 8)[words])
    return np.divmod(words[inside] * 8 + bit, hits.shape[1])
