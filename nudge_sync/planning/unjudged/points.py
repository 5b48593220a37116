"""The unjudged points near each query: read once where they are few, searched for elsewhere."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.base.progress import Progress
from nudge_sync.connector import LARGEST_ANSWER, PointId, Points
from nudge_sync.planning.unjudged.search import (
    UnjudgedPoints,
    choose_first_width,
    choose_similarity,
    search_unjudged,
)
from nudge_sync.solve.geometry import lengths, to_float32, unit
from nudge_sync.solve.topk import find_top_k
from nudge_sync.store.target import Target

MAX_UNJUDGED_READ = LARGEST_ANSWER
"""The most unjudged points whose vectors are held in memory: as many as one answer may have."""


def find_unjudged(
    target: Target,
    queries: Float32,
    ids_in_play: AbstractSet[PointId],
    depth: int,
    *,
    exact: bool,
    progress: Progress,
) -> UnjudgedPoints:
    """Return the best `depth` points outside `ids_in_play` for each of `queries`, (q, d).

    They are read and compared here where that is the smaller work, and then exact; else the
    database searches for them.
    exact: bypass the approximate index where the database can. Raises DatabaseError.
    """
    if is_reading_cheaper(target.facts.points, len(ids_in_play), len(queries), depth):
        others = scan_others(target, ids_in_play, progress)
        return rank_unjudged(target, queries, others, depth)
    return search_unjudged(target, queries, ids_in_play, depth, exact=exact, progress=progress)


def is_reading_cheaper(point_count: int, in_play_count: int, query_count: int, depth: int) -> bool:
    """Return whether to read every point once instead of searching once for every query.

    A point that is read is taken to cost what one that a search returns does (`benchmarks/cycle.py
    --unjudged` prints both), and a search returns more, the more of the nearest points are in play.
    So reading is for a collection with no more points than the first searches would return, if the
    unjudged ones among them are few enough to hold and to compare with every query.
    """
    first_hit_count = query_count * choose_first_width(depth)
    return point_count <= first_hit_count and point_count - in_play_count <= MAX_UNJUDGED_READ


def scan_others(target: Target, ids_in_play: AbstractSet[PointId], progress: Progress) -> Points:
    """Read every point of the collection that is not in play.

    Raises DatabaseError.
    """
    batches: list[Points] = []
    scanned_count = 0
    for batch in target.collection.scan():
        rows = [row for row, point in enumerate(batch.ids) if point not in ids_in_play]
        batches.append(Points([batch.ids[row] for row in rows], batch.vectors[rows]))
        scanned_count += len(batch)
        progress("scan", min(scanned_count, target.facts.points), target.facts.points)
    return join_points(batches, target.facts.dimension)


def join_points(batches: list[Points], dimension: int) -> Points:
    """Return all points of `batches`, in order; without any, vectors of (0, dimension)."""
    vectors = [np.empty((0, dimension), np.float32), *(batch.vectors for batch in batches)]
    return Points([point for batch in batches for point in batch.ids], np.concatenate(vectors))


def rank_unjudged(target: Target, queries: Float32, others: Points, depth: int) -> UnjudgedPoints:
    """Return the best `depth` of `others` for each of `queries`, (q, d), as a search scores them.

    Where there are fewer, the rest of a row of scores is -inf.
    """
    metric = target.facts.metric
    if metric == "euclid":
        queries, vectors, offsets = _write_distance_as_product(queries, others.vectors)
        top = find_top_k(queries, vectors, depth, similarity="dot")
    else:
        offsets = np.zeros((len(queries), 1), np.float32)
        queries = to_float32(unit(queries)) if metric == "cosine" else queries
        top = find_top_k(queries, others.vectors, depth, similarity=choose_similarity(metric))
    is_found = np.isfinite(top.scores)
    ids = [
        [others.ids[row] for row in rows[found]]
        for rows, found in zip(top.rows, is_found, strict=True)
    ]
    return UnjudgedPoints(ids, top.scores + offsets)


def _write_distance_as_product(
    queries: Float32, vectors: Float32
) -> tuple[Float32, Float32, Float32]:
    """Return queries (q, d + 1), vectors (n, d + 1) and offsets (q, 1): 1 - distance² / 2.

    1 - |q - x|² / 2 = (q, 1) · (x, (1 - |x|²) / 2) + (1 - |q|²) / 2.
    """
    ones = np.ones((len(queries), 1), np.float32)
    halves = (1 - np.square(lengths(vectors))) / 2
    offsets = (1 - np.square(lengths(queries))) / 2
    return (
        np.concatenate([queries, ones], axis=1),
        np.concatenate([vectors, halves[:, None]], axis=1).astype(np.float32),
        offsets[:, None].astype(np.float32),
    )
