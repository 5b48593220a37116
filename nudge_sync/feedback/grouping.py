"""Near-identical queries, merged: evidence on one is evidence on all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import Float32

_BLOCK = 1024


def merged(vectors: Float32, cosine: float) -> NDArray[np.int32]:
    """For each row the row that leads its group: the first one within `cosine` of it that leads.

    vectors: (n, d), unit rows. Every row is within `cosine` of its leader; a leader leads itself.
    """
    leads = np.arange(len(vectors), dtype=np.int32)
    if cosine >= 1:
        return leads
    leaders = np.zeros(0, np.int64)
    for start in range(0, len(vectors), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(vectors)))
        _follow_earlier(vectors, rows, leaders, cosine, leads)
        _follow_within(vectors, rows, cosine, leads)
        leaders = np.concatenate([leaders, rows[leads[rows] == rows]])
    return leads


def _follow_earlier(
    vectors: Float32,
    rows: NDArray[np.int64],
    leaders: NDArray[np.int64],
    cosine: float,
    leads: NDArray[np.int32],
) -> None:
    for start in range(0, len(leaders), 8 * _BLOCK):
        some = leaders[start : start + 8 * _BLOCK]
        near = vectors[rows] @ vectors[some].T >= cosine
        first = some[near.argmax(axis=1)]
        follows = near.any(axis=1) & (leads[rows] == rows)
        leads[rows[follows]] = first[follows]


def _follow_within(
    vectors: Float32, rows: NDArray[np.int64], cosine: float, leads: NDArray[np.int32]
) -> None:
    near = np.tril(vectors[rows] @ vectors[rows].T >= cosine, k=-1)
    for at in np.flatnonzero(near.any(axis=1)):
        row = rows[at]
        if leads[row] == row:
            before = rows[near[at]]
            leading = before[leads[before] == before]
            if len(leading):
                leads[row] = leading[0]
