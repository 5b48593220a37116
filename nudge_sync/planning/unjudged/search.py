"""The unjudged points near each query, from the database's own search."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.base.in_flight import keep_in_flight
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
    bounded_count: int = 0
    """How many queries have such a bound in their row."""
    is_approximate: bool = False
    """Whether the database's index found them, and may have missed some."""


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
    parts: list[UnjudgedPoints] = []
    starts = range(0, len(queries), QUERIES_PER_SEARCH)
    searches = (
        partial(
            search_batch,
            target,
            queries[start : start + QUERIES_PER_SEARCH],
            ids_in_play,
            depth,
            exact=exact,
        )
        for start in starts
    )

    def receive(part: UnjudgedPoints) -> None:
        parts.append(part)
        progress("search", min(len(parts) * QUERIES_PER_SEARCH, len(queries)), len(queries))

    progress("search", 0, len(queries))
    keep_in_flight(searches, target.facts.parallel_calls, receive)
    return UnjudgedPoints(
        [ids for part in parts for ids in part.ids],
        np.concatenate([np.empty((0, depth), np.float32), *(part.scores for part in parts)]),
        sum(part.bounded_count for part in parts),
        is_approximate=not exact,
    )


def search_batch(
    target: Target,
    queries: Float32,
    ids_in_play: AbstractSet[PointId],
    depth: int,
    *,
    exact: bool,
    widths: Sequence[int] = (),
) -> UnjudgedPoints:
    """Return the best `depth` points outside `ids_in_play` for each of a few `queries`, (q, d).

    More and more points are asked for, until each query has enough unjudged ones or has them all.
    widths: how many points to ask for, one search after the other; more and more if absent.
    exact: bypass the approximate index where the database can. Raises DatabaseError.
    """
    answers: dict[int, _Answer] = {}
    rows = list(range(len(queries)))
    for width in widths or list_widths(depth):
        hits = target.collection.search(queries[rows], width, exact=exact)
        for row, ids, scores in zip(rows, hits.ids, hits.scores, strict=True):
            similarities = to_similarity(scores, target.facts.metric)
            answers[row] = _drop_points_in_play(
                ids, similarities, ids_in_play, depth, is_whole=len(ids) < width
            )
        rows = [row for row in rows if not answers[row].is_complete]
        if not rows:
            break
    return UnjudgedPoints(
        [answers[row].ids for row in range(len(queries))],
        np.array([answers[row].scores for row in range(len(queries))], np.float32),
        len(rows),
        is_approximate=not exact,
    )


def list_widths(depth: int) -> list[int]:
    """Return how many points are asked for, one search after the other, to find `depth`.

    The last is the most that every database returns.
    """
    widths = [choose_first_width(depth)]
    while widths[-1] < LARGEST_ANSWER:
        widths.append(min(widths[-1] * 4, LARGEST_ANSWER))
    return widths


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
