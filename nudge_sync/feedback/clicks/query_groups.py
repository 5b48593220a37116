"""Near-identical queries, merged: evidence on one is evidence on all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int64
from nudge_sync.base.threads import map_in_threads
from nudge_sync.connector import Float32

_LEAF_SIZE = 256
"""Rows of which all pairs are compared."""
_TREE_COUNT = 10


def group_queries(vectors: Float32, vector_rows: Int64, min_cosine: float) -> Int64:
    """For each used row the row that leads its group: an earlier one within `cosine`, or itself.

    vectors: (n, d), unit rows; used: (u,), ascending. A leader leads itself. Up to 256 rows are all
    compared, and each follows the first one that leads. As all pairs of very many would take hours,
    more rows are halved along random directions until few are left together (the random
    projection trees of Dasgupta and Freund 2008), several times anew: two that are near are parted
    in perhaps one time of four, and in all of them hardly ever.
    """
    if min_cosine >= 1:
        return vector_rows
    leaders = np.arange(len(vector_rows))
    tree_depth = max(0, int(np.ceil(np.log2(max(1, len(vector_rows)) / _LEAF_SIZE))))
    rng = np.random.default_rng(0)
    for _ in range(_TREE_COUNT if tree_depth else 1):
        projections = _project_rows(
            vectors, vector_rows, rng.normal(size=(vectors.shape[1], tree_depth))
        )
        leader_rows = np.flatnonzero(leaders == np.arange(len(leaders)))

        def compare_leaf(rows: Int64) -> None:
            for row, leader in _find_near_leaders(vectors[vector_rows[rows]], min_cosine):
                leaders[rows[row]] = rows[leader]

        # Each row is in one part, and so changed by one thread.
        map_in_threads(compare_leaf, list(_split_into_leaves(leader_rows, projections)))
        _follow_leaders(vectors, vector_rows, leaders, min_cosine)
    return vector_rows[leaders]


def _follow_leaders(
    vectors: Float32, vector_rows: Int64, leaders: Int64, min_cosine: float
) -> None:
    """Where a leader follows another one now, its own follow that one too, or none if too far."""
    rows = np.flatnonzero(leaders[leaders] != leaders)
    new_leader = leaders[leaders[rows]]
    cosines = np.einsum("ij,ij->i", vectors[vector_rows[rows]], vectors[vector_rows[new_leader]])
    leaders[rows] = np.where(cosines >= min_cosine, new_leader, rows)


def _project_rows(vectors: Float32, vector_rows: Int64, directions: NDArray[np.float64]) -> Float32:
    """(u, depth): how far each used row goes in each direction."""
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
    """Rows, and the first one before each that is near and leads."""
    is_near = np.tril(vectors @ vectors.T >= min_cosine, k=-1)
    is_leader = np.ones(len(vectors), np.bool_)
    for row in np.flatnonzero(is_near.any(axis=1)).tolist():
        near_leaders = np.flatnonzero(is_near[row] & is_leader)
        if len(near_leaders):
            is_leader[row] = False
            yield row, int(near_leaders[0])
