"""The score of each candidate as a function of the angle t, for each validation query.

A point that turns from x towards the unit tangent z scores q . (cos(t) x + sin(t) z) =
a cos(t) + b sin(t), with a = q . x and b = q . z, up to its stop, and keeps that score beyond.
Unjudged points keep theirs at every angle. Two matrix products give all a and b. A point whose
highest score stays below the k-th best of all lowest scores never enters the top k and is dropped;
a handful of curves per query is left, whatever the size of the collection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.threads import map_in_threads
from nudge_sync.metrics import RankingMetric
from nudge_sync.solve.line_search.paths import Paths
from nudge_sync.solve.problem import JudgedQueries, Rows
from nudge_sync.solve.relevance import index_in_group, look_up_judgements

_QUERIES_PER_BLOCK, _POINTS_PER_BLOCK = 1024, 1024
MAX_SURVIVING_SHARE = 0.25
"""Share of a block that may survive before the block's own ranks are used to raise the floor."""
FLOOR_SLACK = np.float32(1e-5)
"""How far below a floor a float32 score may lie for its curve to be kept, in score units."""


@dataclass(frozen=True)
class Curves:
    """One curve per (query, candidate), sorted by query; unjudged points first, then by row."""

    query: Rows
    """(m,)"""
    cosine: Float64
    """(m,): a, the score at angle 0, over the paths' `score_unit`."""
    sine: Float64
    """(m,): b; the score at angle t is a cos(t) + b sin(t), up to `stop`."""
    stop: Float64
    """(m,): the angle from which the score stays, in radians."""
    gain: Float64
    """(m,): the gain of the candidate in the metric; 0 where it is not relevant."""

    def select(self, rows: NDArray[np.bool_] | Rows) -> Curves:
        """Return some of the curves.  rows: row numbers or a mask."""
        return Curves(
            self.query[rows], self.cosine[rows], self.sine[rows], self.stop[rows], self.gain[rows]
        )

    def count_pairs(self) -> int:
        """Count the pairs of a relevant candidate and any candidate of its query."""
        relevant = np.bincount(self.query, self.gain > 0)
        return int(relevant @ np.bincount(self.query))

    def score_range(self, low: float, high: float) -> tuple[Float64, Float64]:
        """Return the lowest and the highest score of each curve between two angles: (m,) each.

        The extremes are the ends, and the peak at atan2(b, a) or the trough opposite it.
        """
        first, last = np.minimum(self.stop, low), np.minimum(self.stop, high)
        start_scores = self.cosine * np.cos(first) + self.sine * np.sin(first)
        end_scores = self.cosine * np.cos(last) + self.sine * np.sin(last)
        least, most = np.minimum(start_scores, end_scores), np.maximum(start_scores, end_scores)
        radius, peak = np.hypot(self.cosine, self.sine), np.arctan2(self.sine, self.cosine)
        most = np.where((peak > first) & (peak < last), radius, most)
        least = np.where((peak + np.pi > first) & (peak + np.pi < last), -radius, least)
        return least, most

    def select_contenders(self, depth: int, low: float, high: float) -> Curves:
        """Return the curves that can be among the best `depth` of their query in [low, high]."""
        least, most = self.score_range(low, high)
        order = np.lexsort((-least, self.query))
        last = order[index_in_group(self.query[order]) == depth - 1]
        floor = np.full(int(self.query.max(initial=-1)) + 1, -np.inf)
        floor[self.query[last]] = least[last]
        return self.select(most >= floor[self.query])


def build_curves(
    paths: Paths, queries: JudgedQueries, metric: RankingMetric, limit: float
) -> Curves:
    """Build the curves of all candidates of all queries, over angles 0 to `limit`."""
    pieces = [_build_unjudged_curves(paths, queries, metric, limit)]
    for block in list_chunks(len(queries), _QUERIES_PER_BLOCK):
        pieces += _build_judged_curves(
            paths, queries.select(np.arange(block.start, block.stop)), block, metric, limit
        )
    joined = Curves(
        np.concatenate([piece.query for piece in pieces]),
        np.concatenate([piece.cosine for piece in pieces]),
        np.concatenate([piece.sine for piece in pieces]),
        np.concatenate([piece.stop for piece in pieces]),
        np.concatenate([piece.gain for piece in pieces]),
    )
    ordered = joined.select(np.argsort(joined.query, kind="stable"))
    return ordered.select_contenders(metric.depth, 0.0, limit)


def _build_unjudged_curves(
    paths: Paths, queries: JudgedQueries, metric: RankingMetric, limit: float
) -> Curves:
    """Build the curves of the unjudged points, which no angle moves."""
    scores = queries.unjudged[:, : metric.depth].astype(np.float64) / paths.score_unit
    query, rank = np.nonzero(np.isfinite(scores))
    still = np.zeros(len(query))
    stop = np.full(len(query), limit) if paths.shrinks else still
    return Curves(query, scores[query, rank], still, stop, still)


def _build_judged_curves(
    paths: Paths, queries: JudgedQueries, part: slice, metric: RankingMetric, limit: float
) -> list[Curves]:
    """Build the curves of the judged points that can enter the top of the queries `part`."""
    floor = queries.unjudged[:, metric.depth - 1].astype(np.float32) / np.float32(paths.score_unit)
    floor = np.minimum(floor, floor * np.float32(np.cos(limit) if paths.shrinks else 1))
    excluded = None if queries.excluded is None else csc_matrix(queries.excluded)

    def block(rows: slice) -> Curves:
        start_scores = queries.vectors @ paths.start[rows].T
        end_scores = queries.vectors @ paths.end[rows].T
        if excluded is not None:
            excluded_pairs = excluded[:, rows].nonzero()
            start_scores[excluded_pairs] = end_scores[excluded_pairs] = -np.inf
        best_scores, low = np.maximum(start_scores, end_scores), floor
        query, column = _find_above(best_scores, _required_end_score(low, limit))
        if (
            len(query) > MAX_SURVIVING_SHARE * best_scores.size
            and best_scores.shape[1] > metric.depth
        ):
            low = np.maximum(low, _block_floor(start_scores, end_scores, metric.depth, limit))
            query, column = _find_above(best_scores, _required_end_score(low, limit))
        point = column + rows.start
        start, end = (
            scores[query, column].astype(np.float64) for scores in (start_scores, end_scores)
        )
        gain = metric.gains(look_up_judgements(queries.relevance, query, point))
        stop = paths.stop[point]
        return Curves(query + part.start, start, _sine(start, end, stop), stop, gain)

    return map_in_threads(block, list_chunks(len(paths.start), _POINTS_PER_BLOCK))


def _sine(start: Float64, end: Float64, stop: Float64) -> Float64:
    """Return b of curves that score `start` at 0 and `end` at `stop`; 0 where a point stays."""
    moves = stop > 0
    return np.where(moves, (end - start * np.cos(stop)) / np.where(moves, np.sin(stop), 1.0), 0.0)


def _required_end_score(floor: Float32, limit: float) -> Float32:
    """Return the score that the better end of a path needs for the path to reach `floor`: (q,).

    The weights of the two ends are not negative and sum to between 1 and 1 / cos(limit / 2).
    """
    return np.where(floor > 0, floor * np.float32(np.cos(limit / 2)), floor) - FLOOR_SLACK


def _block_floor(start_scores: Float32, end_scores: Float32, depth: int, limit: float) -> Float32:
    """Return a score that `depth` points of this block have at every angle: (q,)."""
    worst = np.minimum(start_scores, end_scores)
    worst = np.where(worst < 0, worst / np.float32(np.cos(limit / 2)), worst)
    kth = worst.shape[1] - depth
    return np.partition(worst, kth, axis=1)[:, kth]


def _find_above(scores: Float32, floor: Float32) -> tuple[Rows, Rows]:
    """Return where scores, (q, n), exceed the floor of their query, (q,): queries and columns."""
    hits = scores > floor[:, None]
    flat = hits.ravel()
    if flat.size % 8:
        query, column = np.nonzero(hits)
        return query, column
    # Eight flags at a time: hits are rare, and finding them costs as much as the product.
    words = np.flatnonzero(flat.view(np.uint64))
    inside, bit = np.nonzero(flat.reshape(-1, 8)[words])
    return np.divmod(words[inside] * 8 + bit, hits.shape[1])
