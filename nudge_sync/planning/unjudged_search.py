"""The unjudged points near each query, from the database's own search."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.base.progress import Progress
from nudge_sync.connector import LARGEST_ANSWER, Metric, PointId
from nudge_sync.solve.problem import Similarity
from nudge_sync.store.target import Target

QUERIES_PER_SEARCH = 256
"""Queries sent in one search."""
MIN_SEARCH_WIDTH = 40
"""Points asked for at first, at least: an answer is wide enough for most queries at once."""


@dataclass(frozen=True, slots=True)
class UnjudgedPoints:
    """The best unjudged points of each query."""

    ids: list[list[PointId]]
    """One list a query, best first."""
    scores: Float32
    """(q, depth): the similarities of `ids`, best first.

    Where a list is shorter than `depth`, the rest of its row is -inf if the collection holds no
    more such points. If the widest search did not reach them, the rest is a bound: the score of
    the last point that was found, which no unjudged point beyond it exceeds.
    """


@dataclass(frozen=True, slots=True)
class _Answer:
    """One row of `UnjudgedPoints`, as far as a search of some width tells."""

    ids: list[PointId]
    scores: Float32
    is_complete: bool
    """Whether a wider search would find nothing more."""


def search_unjudged(
    target: Target,
    queries: Float32,
    ids_in_play: AbstractSet[PointId],
    depth: int,
    *,
    exact: bool,
    progress: Progress,
) -> UnjudgedPoints:
    """Return the best `depth` points outside `ids_in_play` for each of `queries`, (q, d).

    exact: bypass the approximate index where the database can.
    Raises DatabaseError.
    """
    answers: list[_Answer] = []
    for start in range(0, len(queries), QUERIES_PER_SEARCH):
        progress("search", start, len(queries))
        batch = queries[start : start + QUERIES_PER_SEARCH]
        answers += _widen_search(target, batch, ids_in_play, depth, exact=exact)
    progress("search", len(queries), len(queries))
    scores = [np.empty((0, depth), np.float32), *(answer.scores[None] for answer in answers)]
    return UnjudgedPoints([answer.ids for answer in answers], np.concatenate(scores))


def _widen_search(
    target: Target,
    queries: Float32,
    ids_in_play: AbstractSet[PointId],
    depth: int,
    *,
    exact: bool,
) -> list[_Answer]:
    """Ask for more and more points, until each query has enough unjudged ones or has them all."""
    answers: dict[int, _Answer] = {}
    rows = list(range(len(queries)))
    width = choose_first_width(depth)
    while rows:
        hits = target.collection.search(queries[rows], width, exact=exact)
        for row, ids, scores in zip(rows, hits.ids, hits.scores, strict=True):
            similarities = to_similarity(scores, target.facts.metric)
            answers[row] = _drop_points_in_play(
                ids, similarities, ids_in_play, depth, is_whole=len(ids) < width
            )
        if width >= LARGEST_ANSWER:
            break
        rows = [row for row in rows if not answers[row].is_complete]
        width = min(width * 4, LARGEST_ANSWER)
    return [answers[row] for row in range(len(queries))]


def choose_first_width(depth: int) -> int:
    """Return how many points are asked for at first, to find `depth` unjudged ones."""
    return max(2 * depth, MIN_SEARCH_WIDTH)


def _drop_points_in_play(
    ids: list[PointId],
    similarities: Float32,
    ids_in_play: AbstractSet[PointId],
    depth: int,
    *,
    is_whole: bool,
) -> _Answer:
    """Return what is left of an answer without the points in play.

    is_whole: whether the answer held every point of the collection that can be found.
    """
    unjudged = [row for row, point in enumerate(ids) if point not in ids_in_play][:depth]
    bound = -np.inf if is_whole else similarities[-1]
    scores = np.full(depth, bound, np.float32)
    scores[: len(unjudged)] = similarities[unjudged]
    is_complete = is_whole or len(unjudged) == depth
    return _Answer([ids[row] for row in unjudged], scores, is_complete)


def to_similarity(scores: Float32, metric: Metric) -> Float32:
    """Return search scores as what the solver compares: the cosine, or the dot product.

    On a Euclidean collection a score is minus the distance, and judged vectors are of unit
    length: cos = 1 - distance² / 2.
    """
    if metric == "euclid":
        return np.asarray(1 - np.square(scores) / 2, np.float32)
    return scores


def choose_similarity(metric: Metric) -> Similarity:
    """Return the similarity that ranks as a collection's metric does.

    On a Euclidean collection judged vectors are of unit length, so that the nearest is the one
    with the largest cosine.
    """
    return "dot" if metric == "dot" else "cosine"
