"""NUDGE-N: a point turns towards the queries it answers and keeps its length.

Zeighami, Wellmer, Parameswaran: NUDGE, ICLR 2025. Their optimum under |x'| = 1 and |x' - x| <= r
is a rotation towards the pull by arccos(1 - r^2/2), or onto the pull where that is nearer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.solve.problem import Float32, Float64

TINY = 1e-9
"""Lengths below this have no direction; angles below it are no move."""


def single(rows: Any) -> Float32:
    """Rows as float32; what it cannot hold becomes infinite, quietly."""
    with np.errstate(over="ignore"):
        return np.asarray(rows, np.float32)


def lengths(rows: NDArray[np.floating]) -> Float64:
    """The length of each row: (n,), summed in float64."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64)))


def unit(rows: NDArray[np.floating]) -> Float64:
    """Rows scaled to length 1, in float64; a row without a direction becomes zero."""
    length = lengths(rows)
    usable = length > TINY
    return np.where(usable, 1 / np.where(usable, length, 1.0), 0.0)[:, None] * rows


def tangents(vectors: Float64, pulls: Float64) -> tuple[Float64, Float64]:
    """The unit tangents towards the pulls, (n, d), and the angles to them, (n,).

    vectors: (n, d), unit rows.  pulls: (n, d), any length.
    Both are zero where nothing pulls, where the pull opposes, and where the row lies on its pull.
    """
    directions = unit(pulls)
    cosine = np.einsum("ij,ij->i", vectors, directions)
    across = directions - cosine[:, None] * vectors
    # A second pass: near the pull the first leaves rounding along `vectors` in the difference.
    across -= np.einsum("ij,ij->i", vectors, across)[:, None] * vectors
    sine = lengths(across)
    moves = (cosine >= 0) & (sine > TINY) & (lengths(directions) > 0)
    angles = np.where(moves, np.arctan2(sine, cosine), 0.0)
    return np.where(moves, 1 / np.where(moves, sine, 1.0), 0.0)[:, None] * across, angles


def rotate(vectors: Float32, pulls: Float64, angle: float) -> Float32:
    """Turn each row by at most `angle` towards its pull, along the great circle.

    vectors: (n, d), rows of any length, which is kept.  pulls: (n, d); a zero row where nothing
    pulls.  angle: radians, 0 to pi/2.
    A row nearer than `angle` lands on its pull; a row that does not move comes back bit for bit.
    NUDGE-N, Zeighami et al. 2025, eq. 9, written as a rotation: no quotient that can cancel.
    """
    # float64: a squared norm off by more than 1e-6 makes Qdrant rescale the row as it is written.
    start = unit(vectors)
    tangent, reach = tangents(start, pulls)
    turn = np.minimum(reach, angle)
    turned = np.cos(turn)[:, None] * start + np.sin(turn)[:, None] * tangent
    return keep_still(vectors, lengths(vectors)[:, None] * turned, turn > TINY)


def keep_still(vectors: Float32, moved: NDArray[np.floating], moves: NDArray[np.bool_]) -> Float32:
    """`moved` as float32 where a row moves, and `vectors` bit for bit where it does not."""
    return np.where(moves[:, None], moved.astype(np.float32), vectors)
