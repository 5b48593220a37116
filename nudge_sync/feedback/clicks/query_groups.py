"""Near-identical queries, merged: evidence on one is evidence on all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.threads import spread
from nudge_sync.connector import Float32

Int64 = NDArray[np.int64]

_FEW = 256
"""Rows of which all pairs are compared."""
_TRIES = 10


def merged(vectors: Float32, used: Int64, cosine: float) -> Int64:
    """For each used row the row that leads its group: an earlier one within `cosine`, or itself.

    vectors: (n, d), unit rows; used: (u,), ascending. A leader leads itself. Up to 256 rows are all
    compared, and each follows the first one that leads. As all pairs of very many would take hours,
    more rows are halved along random directions until few are left together (the random
    projection trees of Dasgupta and Freund 2008), several times anew: two that are near are parted
    in perhaps one time of four, and in all of them hardly ever.
    """
    if cosine >= 1:
        return used
    leads = np.arange(len(used))
    depth = max(0, int(np.ceil(np.log2(max(1, len(used)) / _FEW))))
    rng = np.random.default_rng(0)
    for _ in range(_TRIES if depth else 1):
        along = _along(vectors, used, rng.normal(size=(vectors.shape[1], depth)))
        leading = np.flatnonzero(leads == np.arange(len(leads)))

        def follow(rows: Int64) -> None:
            for row, leader in _following(vectors[used[rows]], cosine):
                leads[rows[row]] = rows[leader]

        # Each row is in one part, and so changed by one thread.
        spread(follow, list(_halved(leading, along)))
        _go_along(vectors, used, leads, cosine)
    return used[leads]


def _go_along(vectors: Float32, used: Int64, leads: Int64, cosine: float) -> None:
    """Where a leader follows another one now, its own follow that one too, or none if too far."""
    rows = np.flatnonzero(leads[leads] != leads)
    leader = leads[leads[rows]]
    likeness = np.einsum("ij,ij->i", vectors[used[rows]], vectors[used[leader]])
    leads[rows] = np.where(likeness >= cosine, leader, rows)


def _along(vectors: Float32, used: Int64, directions: NDArray[np.float64]) -> Float32:
    """(u, depth): how far each used row goes in each direction."""
    found = np.empty((len(used), directions.shape[1]), np.float32)
    for start in range(0, len(used), 64 * _FEW):
        some = slice(start, start + 64 * _FEW)
        found[some] = vectors[used[some]] @ directions.astype(np.float32)
    return found


def _halved(rows: Int64, along: Float32, depth: int = 0) -> Iterator[Int64]:
    if len(rows) <= _FEW:
        yield np.sort(rows)
        return
    middle = len(rows) // 2
    order = np.argpartition(along[rows, depth], middle)
    yield from _halved(rows[order[:middle]], along, depth + 1)
    yield from _halved(rows[order[middle:]], along, depth + 1)


def _following(vectors: Float32, cosine: float) -> Iterator[tuple[int, int]]:
    """Rows, and the first one before each that is near and leads."""
    near = np.tril(vectors @ vectors.T >= cosine, k=-1)
    leads = np.ones(len(vectors), np.bool_)
    for row in np.flatnonzero(near.any(axis=1)).tolist():
        leading = np.flatnonzero(near[row] & leads)
        if len(leading):
            leads[row] = False
            yield row, int(leading[0])
