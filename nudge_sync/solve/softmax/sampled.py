"""The softmax of NUDGE-C where all pairs of a query and a point would take hours.

Each query's sum over the points that do not answer it is taken in two parts: in full over the cells
that it looks into (`cells`), and over all others from a sample of the points, as sampled softmax
does (Bengio and Senecal, IEEE Transactions on Neural Networks 19, 2008). Likewise each point is
pushed by all queries that look into its cell, and by a sample of the others. Answers and rejections
count in full. Time grows with the queries and with the points, not with their product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.threads import map_in_threads
from nudge_sync.solve.draw import draw_rows
from nudge_sync.solve.problem import Rows
from nudge_sync.solve.softmax.cells import PointCells
from nudge_sync.solve.softmax.joint_scores import MIN_EXPONENT

MAX_SAMPLED = 2048
"""Most points, and most queries, that stand for those in other cells."""
_QUERIES_PER_CHUNK, _POINTS_PER_CHUNK = 1024, 4096
"""Rows that are scored at once: at most 16 MB of scores in each thread."""


@dataclass(frozen=True)
class Competition:
    """Queries, what they judge, and what competes there beside the points."""

    queries: Float32
    """(q, d), unit rows."""
    positive: csr_matrix
    """(q, n): y_ij."""
    negative: csr_matrix | None
    """(q, n): v_ij; None if no query rejects any point."""
    unjudged_scores: Float32
    """(q, k): scores of the best points outside the n, -inf where there are fewer."""
    cold_weights: Float32 | None
    """(q,): mu y_i; None where no query has cold answers."""

    @cached_property
    def sampled_points(self) -> Rows:
        """Points that stand for all, ascending: the same in every step."""
        return draw_rows(self.positive.shape[1], MAX_SAMPLED)

    @cached_property
    def sampled_queries(self) -> Rows:
        """Queries that stand for all, ascending."""
        return draw_rows(self.positive.shape[0], MAX_SAMPLED)


@dataclass(frozen=True)
class _Cell:
    """A cell with queries that look into it."""

    points: Rows
    """(m,)"""
    queries: Rows
    """(b,), ascending."""
    slots: Rows
    """(b,): where each of them has the cell among its own, as a row of (q * p,)."""
    answers: tuple[Rows, Rows]
    """The pairs that are answers: rows of `queries`, rows of `points`."""


class _Split:
    """The pairs of queries and points, parted by the cells that the queries look into."""

    def __init__(self, competition: Competition, cells: PointCells) -> None:
        self.cells, self.queries = cells, competition.queries
        self.looked = cells.find_for_queries(competition.queries)
        """(q, p): the cells that each query looks into."""
        self._by_cell = np.argsort(self.looked.ravel(), kind="stable")
        self._first = np.searchsorted(
            self.looked.ravel()[self._by_cell], np.arange(len(cells.means) + 1)
        )
        self._answers = csc_matrix(competition.positive.tocsc()[:, cells.order])
        self._answers.sort_indices()

    def list_cells(self) -> list[int]:
        """Return the cells that have points and that a query looks into."""
        sizes = np.minimum(np.diff(self.cells.starts), np.diff(self._first))
        return list(np.flatnonzero(sizes).tolist())

    def iterate_cell(self, number: int) -> Iterator[_Cell]:
        """Yield a cell with the queries that look into it, some at a time."""
        first, last = self.cells.starts[number : number + 2]
        all_slots = self._by_cell[self._first[number] : self._first[number + 1]]
        bounds = self._answers.indptr[first : last + 1]
        asking = self._answers.indices[bounds[0] : bounds[-1]]
        column = np.repeat(np.arange(last - first), np.diff(bounds))
        for part in list_chunks(len(all_slots), _QUERIES_PER_CHUNK):
            slots = all_slots[part]
            queries = slots // self.looked.shape[1]
            row = np.minimum(np.searchsorted(queries, asking), len(queries) - 1)
            is_here = queries[row] == asking
            answers = row[is_here], column[is_here]
            yield _Cell(self.cells.order[first:last], queries, slots, answers)

    def find_near(self, queries: Rows, points: Rows) -> NDArray[np.bool_]:
        """Tell which of the queries look into the cell of which point: (queries, points)."""
        is_near = np.zeros((len(queries), len(self.cells.means)), np.bool_)
        np.put_along_axis(is_near, self.looked[queries], values=True, axis=1)
        return is_near[:, self.cells.cell[points]]


@dataclass(frozen=True)
class _Parts:
    """Parts of a sum, each with the score that was subtracted from its own."""

    tops: Float32
    """-inf where there is nothing."""
    totals: Float64


@dataclass(frozen=True)
class _Sums:
    """What each query scores best, and the sum of all that competes with its answers."""

    top: Float32
    """(q,): a score that is subtracted from all, so that no exponential overflows."""
    others: Float64
    """(q,): R_i exp(-tau top)."""


def sum_cell_responsibilities(
    vectors: Float32, competition: Competition, cells: PointCells, tau: float
) -> tuple[Float32, Float32]:
    """Estimate sum_i r_ij q_i, (n, d), and sum_i r_ij, (n,).

    r_ij is the responsibility of point j for query i (see `nudge_c`).
    vectors: (n, d), scored by dot product, as `cells` hold them.  tau: the sharpness.
    With no more points and queries than `MAX_SAMPLED` it is no estimate, whatever the cells are.
    """
    split = _Split(competition, cells)
    sums = _sum_others(vectors, competition, split, tau)
    queries, positive = competition.queries, competition.positive
    query, point = _list_pairs(positive)
    own = _compute_odds(vectors, queries, query, point, sums, tau)
    found = positive.data / (own + sums.others[query])
    pushes = np.bincount(query, found, minlength=len(queries)).astype(np.float64)
    if competition.cold_weights is not None:
        pushes = pushes + competition.cold_weights / sums.others
    summed, mass = _sum_pushes(vectors, competition, split, sums, pushes, tau)
    shares = csr_matrix((found * own, (query, point)), shape=positive.shape)
    if competition.negative is not None:
        query, point = _list_pairs(competition.negative)
        odds = _compute_odds(vectors, queries, query, point, sums, tau)
        rejected = competition.negative.data * np.minimum(odds / sums.others[query], 1.0)
        shares = csr_matrix(shares + csr_matrix((rejected, (query, point)), shape=shares.shape))
    by_point = csr_matrix(shares.T).astype(np.float32)
    summed += np.asarray(by_point @ queries)
    mass += np.asarray(by_point.sum(axis=1)).ravel()
    return summed, mass


def _sum_others(vectors: Float32, competition: Competition, split: _Split, tau: float) -> _Sums:
    """Sum the odds of all that is no answer: of the cells looked into, a sample, and unjudged."""
    count, width = split.looked.shape
    near = _Parts(np.full(count * width, -np.inf, np.float32), np.zeros(count * width))
    far = _Parts(np.full(count, -np.inf, np.float32), np.zeros(count))

    def sum_cell(number: int) -> None:
        for cell in split.iterate_cell(number):
            scores = split.queries[cell.queries] @ vectors[cell.points].T
            scores[cell.answers] = -np.inf
            near.tops[cell.slots], near.totals[cell.slots] = _sum_odds(scores, tau)

    sampled = competition.sampled_points
    answers = competition.positive[:, sampled]
    weight = competition.positive.shape[1] / max(1, len(sampled))

    def sum_sample(rows: slice) -> None:
        scores = split.queries[rows] @ vectors[sampled].T
        scores[split.find_near(np.arange(count)[rows], sampled)] = -np.inf
        scores[_list_pairs(answers[rows])] = -np.inf
        far.tops[rows], totals = _sum_odds(scores, tau)
        far.totals[rows] = weight * totals

    map_in_threads(sum_cell, split.list_cells())
    map_in_threads(sum_sample, list_chunks(count, _QUERIES_PER_CHUNK))
    unjudged = _Parts(*_sum_odds(competition.unjudged_scores.copy(), tau))
    tops, totals = (
        np.column_stack([one.reshape(count, width), *others])
        for one, *others in (
            (near.tops, far.tops, unjudged.tops),
            (near.totals, far.totals, unjudged.totals),
        )
    )
    return _join_sums(tops, totals, _find_best_answers(vectors, competition), tau)


def _find_best_answers(vectors: Float32, competition: Competition) -> Float32:
    """Return each query's highest score of an answer, (q,); -inf where it has none."""
    best = np.full(len(competition.queries), -np.inf, np.float32)
    query, point = _list_pairs(competition.positive)
    np.maximum.at(best, query, _score_pairs(vectors, competition.queries, query, point))
    return best


def _join_sums(tops: Float32, totals: Float64, best: Float32, tau: float) -> _Sums:
    """Add sums that had different scores subtracted: (q, parts) each.  best: (q,), of answers."""
    top = np.maximum(tops.max(axis=1), best)
    top = np.where(np.isfinite(top), top, 0).astype(np.float32)
    exponent = np.where(np.isfinite(tops), tau * (tops - top[:, None]), MIN_EXPONENT)
    others = (np.exp(np.maximum(exponent, MIN_EXPONENT)) * totals).sum(axis=1)
    return _Sums(top, np.maximum(others, np.exp(MIN_EXPONENT)))


def _sum_odds(scores: Float32, tau: float) -> tuple[Float32, Float64]:
    """Return the highest score of each row and sum_j exp(tau (s_j - top)), (b,) each.

    Overwrites `scores`, (b, m); -inf counts nothing.
    """
    top = scores.max(axis=1, initial=-np.inf)
    scores -= np.where(np.isfinite(top), top, 0)[:, None]
    scores *= np.float32(tau)
    return top, np.exp(scores, out=scores).sum(axis=1, dtype=np.float64)


def _sum_pushes(
    vectors: Float32,
    competition: Competition,
    split: _Split,
    sums: _Sums,
    pushes: Float64,
    tau: float,
) -> tuple[Float32, Float32]:
    """Sum r_ij q_i, (n, d), and r_ij, (n,), over the pairs that are no answers.

    pushes: (q,): r_ij over e_ij.
    """
    summed, mass = np.zeros_like(vectors), np.zeros(len(vectors), np.float32)
    narrow_pushes = pushes.astype(np.float32)

    def push_cell(number: int) -> None:
        for cell in split.iterate_cell(number):
            queries = split.queries[cell.queries]
            scores = queries @ vectors[cell.points].T
            odds = _exponentiate(scores, cell.queries, sums, tau)
            odds[cell.answers] = 0
            odds *= narrow_pushes[cell.queries, None]
            summed[cell.points] += odds.T @ queries
            mass[cell.points] += odds.sum(axis=0)

    sampled = competition.sampled_queries
    queries, answers = split.queries[sampled], competition.positive[sampled].tocsc()
    weight = np.float32(len(split.queries) / max(1, len(sampled)))
    weighted_pushes = weight * narrow_pushes[sampled, None]

    def push_sample(rows: slice) -> None:
        odds = _exponentiate(queries @ vectors[rows].T, sampled, sums, tau)
        odds[split.find_near(sampled, np.arange(len(vectors))[rows])] = 0
        point, query = _list_pairs(csr_matrix(answers[:, rows].T))
        odds[query, point] = 0
        odds *= weighted_pushes
        summed[rows] += odds.T @ queries
        mass[rows] += odds.sum(axis=0)

    map_in_threads(push_cell, split.list_cells())
    map_in_threads(push_sample, list_chunks(len(vectors), _POINTS_PER_CHUNK))
    return summed, mass


def _exponentiate(scores: Float32, queries: Rows, sums: _Sums, tau: float) -> Float32:
    """Return e_ij, written over `scores`, (b, m): at most R_i, which has e_ij in it.

    A point that is in no cell looked into and in no sample may score above all that is.
    """
    scores -= sums.top[queries, None]
    scores *= np.float32(tau)
    np.maximum(scores, MIN_EXPONENT, out=scores)
    np.exp(scores, out=scores)
    return np.minimum(scores, sums.others[queries, None].astype(np.float32), out=scores)


def _compute_odds(
    vectors: Float32, queries: Float32, query: Rows, point: Rows, sums: _Sums, tau: float
) -> Float64:
    """Return e_ij of the given pairs: (p,)."""
    scores = _score_pairs(vectors, queries, query, point).astype(np.float64)
    return np.exp(np.maximum(tau * (scores - sums.top[query]), MIN_EXPONENT))


def _score_pairs(vectors: Float32, queries: Float32, query: Rows, point: Rows) -> Float32:
    scores = np.empty(len(query), np.float32)

    def score(rows: slice) -> None:
        scores[rows] = np.einsum("ij,ij->i", queries[query[rows]], vectors[point[rows]])

    map_in_threads(score, list_chunks(len(query), _POINTS_PER_CHUNK))
    return scores


def _list_pairs(judgements: csr_matrix) -> tuple[Rows, Rows]:
    """Return the rows and the columns of all entries."""
    row = np.repeat(np.arange(judgements.shape[0]), np.diff(judgements.indptr))
    return row, judgements.indices.astype(np.int64)
