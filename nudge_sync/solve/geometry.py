"""Lengths, directions and weighted sums of rows, in float64 where a rounding error would show."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32, Float64

MIN_LENGTH = 1e-9
"""Shortest row that has a direction."""


def to_float32(rows: Any) -> Float32:
    """Return `rows` as float32; a value too large for it becomes infinite, without a warning."""
    with np.errstate(over="ignore"):
        return np.asarray(rows, np.float32)


def lengths(rows: NDArray[np.floating]) -> Float64:
    """Return the Euclidean length of each row: (n,), summed in float64."""
    square = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    return np.asarray(np.sqrt(square), np.float64)


def unit(rows: NDArray[np.floating]) -> Float64:
    """Return the rows scaled to length 1, in float64; a row without a direction becomes zero."""
    length = lengths(rows)
    usable = length > MIN_LENGTH
    scale = np.where(usable, 1 / np.where(usable, length, 1.0), 0.0)
    return np.asarray(scale[:, None] * rows, np.float64)


def find_score_unit(row_lengths: NDArray[np.floating]) -> float:
    """Return a unit for scores by dot product: about the mean length of the rows.

    row_lengths: (n,).  It is the nearest power of two, so that dividing by it rounds nothing: 1 for
    unit rows, and where all are zero. Zero rows do not count.
    """
    usable = row_lengths[row_lengths > 0]
    return float(2.0 ** np.round(np.log2(usable.mean()))) if len(usable) else 1.0


def combine_rows(
    row_weight: Float64,
    rows: NDArray[np.floating],
    other_weight: Float64,
    others: NDArray[np.floating],
) -> Float64:
    """Return row_weight * rows + other_weight * others, row by row: (n, d).

    row_weight, other_weight: (n,).  rows, others: (n, d).
    """
    total = others.astype(np.float64)
    total *= other_weight[:, None]
    total += row_weight[:, None] * rows
    return total


def restore_unmoved(
    vectors: Float32, moved: NDArray[np.floating], moves: NDArray[np.bool_]
) -> Float32:
    """Return `moved` as float32 where `moves` is set, and `vectors` bit for bit elsewhere."""
    result = moved.astype(np.float32)
    unmoved = np.flatnonzero(~moves)
    result[unmoved] = vectors[unmoved]
    return result
