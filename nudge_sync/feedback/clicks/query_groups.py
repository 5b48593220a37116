"""Query groups: near-identical queries, whose impressions and clicks are counted together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nudge_sync.base.arrays import Float32, Float64, Int32, Int64
from nudge_sync.base.spooled import compute_column
from nudge_sync.base.threads import map_in_threads
from nudge_sync.feedback.log.columns import ActionSelection, Log

_LEAF_SIZE = 256
"""Up to this many rows are all compared with each other."""
_TREE_COUNT = 10


def assign_query_groups(log: Log, clicks: ActionSelection, min_cosine: float) -> Int32:
    """Return the query group of each search, (s,): the row of the query vector that leads it.

    -1 where nobody clicked on any search with the same vector, or the vector is not usable.
    """
    vector_row = log.searches.vector_row
    # The last element answers for vector_row -1.
    is_clicked = np.zeros(len(log.query_vectors) + 1, np.bool_)
    for part in clicks.split():
        is_clicked[vector_row[part.search]] = True
    vector_rows = np.flatnonzero(is_clicked[:-1])
    leader = np.full(len(log.query_vectors) + 1, -1, np.int32)
    leader[vector_rows] = group_queries(log.query_vectors, vector_rows, min_cosine)
    return compute_column(len(vector_row), np.int32, lambda part: leader[vector_row[part]])


def group_queries(
    vectors: Float32, vector_rows: Int64, min_cosine: float, tree_count: int = _TREE_COUNT
) -> Int64:
    """Return the leader of each row of `vector_rows`, (u,): an earlier row within `min_cosine`, or
    itself.

    vectors: (n, d), unit rows.  vector_rows: (u,), ascending.  A leader leads itself.
    Up to 256 rows are all compared, and each follows the first leader that is near. More rows are
    halved along random directions until at most 256 are left together (random projection trees,
    Dasgupta and Freund 2008), since comparing all pairs of very many would take hours. That is done
    with ten independent trees: one tree separates two near rows about one time in four, so that all
    ten hardly ever do. Rows that are nearly equal need fewer: `tree_count`.
    """
    if min_cosine >= 1:
        return vector_rows
    leaders = np.arange(len(vector_rows))
    tree_depth = max(0, int(np.ceil(np.log2(max(1, len(vector_rows)) / _LEAF_SIZE))))
    rng = np.random.default_rng(0)
    for _ in range(tree_count if tree_depth else 1):
        directions = rng.normal(size=(vectors.shape[1], tree_depth))
        leaders = _merge_leaders(vectors, vector_rows, leaders, directions, min_cosine)
    return vector_rows[leaders]


def _merge_leaders(
    vectors: Float32, vector_rows: Int64, leaders: Int64, directions: Float64, min_cosine: float
) -> Int64:
    """Return the leaders, (u,), after those in the same leaf of one random tree were compared.

    directions: (d, depth), one for each level of the tree.
    """
    merged = leaders.copy()

    def compare_leaf(rows: Int64) -> None:
        for row, leader in _find_near_leaders(vectors[vector_rows[rows]], min_cosine):
            merged[rows[row]] = rows[leader]

    # Each row is in one leaf, and so changed by one thread.
    leader_rows = np.flatnonzero(leaders == np.arange(len(leaders)))
    projections = _project_rows(vectors, vector_rows, directions)
    map_in_threads(compare_leaf, list(_split_into_leaves(leader_rows, projections)))
    # Rows whose leader follows another one now follow that one too, or lead if it is too far.
    rows = np.flatnonzero(merged[merged] != merged)
    new_leader = merged[merged[rows]]
    cosines = np.einsum("ij,ij->i", vectors[vector_rows[rows]], vectors[vector_rows[new_leader]])
    merged[rows] = np.where(cosines >= min_cosine, new_leader, rows)
    return merged


def _project_rows(vectors: Float32, vector_rows: Int64, directions: Float64) -> Float32:
    """Return the dot product of each row with each direction, (u, depth)."""
    projections = np.empty((len(vector_rows), directions.shape[1]), np.float32)
    for start in range(0, len(vector_rows), 64 * _LEAF_SIZE):
        block = slice(start, start + 64 * _LEAF_SIZE)
        projections[block] = vectors[vector_rows[block]] @ directions.astype(np.float32)
    return projections


def _split_into_leaves(rows: Int64, projections: Float32, depth: int = 0) -> Iterator[Int64]:
    if len(rows) <= _LEAF_SIZE:
        yield np.sort(rows)
        return
    middle = len(rows) // 2
    order = np.argpartition(projections[rows, depth], middle)
    yield from _split_into_leaves(rows[order[:middle]], projections, depth + 1)
    yield from _split_into_leaves(rows[order[middle:]], projections, depth + 1)


def _find_near_leaders(vectors: Float32, min_cosine: float) -> Iterator[tuple[int, int]]:
    """Yield the rows that follow, each with the first near leader before it."""
    is_near = np.tril(vectors @ vectors.T >= min_cosine, k=-1)
    is_leader = np.ones(len(vectors), np.bool_)
    for row in np.flatnonzero(is_near.any(axis=1)).tolist():
        near_leaders = np.flatnonzero(is_near[row] & is_leader)
        if len(near_leaders):
            is_leader[row] = False
            yield row, int(near_leaders[0])
