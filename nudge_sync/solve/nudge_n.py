"""NUDGE-N: a point turns towards the queries it answers and keeps its length.

Zeighami, Wellmer, Parameswaran: NUDGE, ICLR 2025. Their optimum under |x'| = 1 and |x' - x| <= r
is a rotation towards the pull by arccos(1 - r^2/2), or onto the pull where that is nearer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32, Float64

MIN_LENGTH = 1e-9
"""Lengths below this have no direction."""
MIN_ANGLE = 1e-7
"""Angles below this are no move: float32 cannot tell."""


def to_float32(rows: Any) -> Float32:
    """Rows as float32; what it cannot hold becomes infinite, quietly."""
    with np.errstate(over="ignore"):
        return np.asarray(rows, np.float32)


def lengths(rows: NDArray[np.floating]) -> Float64:
    """The length of each row: (n,), summed in float64."""
    square = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    return np.asarray(np.sqrt(square), np.float64)


def unit(rows: NDArray[np.floating]) -> Float64:
    """Rows scaled to length 1, in float64; a row without a direction becomes zero."""
    length = lengths(rows)
    usable = length > MIN_LENGTH
    scale = np.where(usable, 1 / np.where(usable, length, 1.0), 0.0)
    return np.asarray(scale[:, None] * rows, np.float64)


@dataclass(frozen=True)
class Plane:
    """Each row and its pull: all that a rotation from one to the other needs to know."""

    row_length: Float64
    """(n,): the length of the row."""
    pull_length: Float64
    """(n,): the length of its pull."""
    cosine: Float64
    """(n,): of the angle between them."""
    reach: Float64
    """(n,): that angle; 0 where the row has nowhere to go."""

    @classmethod
    def concatenate(cls, parts: Sequence[Plane]) -> Plane:
        """The rows of several, in the order given."""
        columns = ([getattr(part, column.name) for part in parts] for column in fields(cls))
        return cls(*(np.concatenate([np.empty(0), *column]) for column in columns))

    def select(self, rows: slice) -> Plane:
        """Some of the rows."""
        return Plane(
            self.row_length[rows], self.pull_length[rows], self.cosine[rows], self.reach[rows]
        )

    def rotation_weights(self, turn: Float64) -> tuple[Float64, Float64]:
        """The turned row is the first times the row plus the second times the pull: (n,) each.

        turn: (n,), no further than `reach`.
        """
        can_turn = self.reach > 0
        sine = np.where(can_turn, np.sin(self.reach), 1.0)
        pull_share = np.where(can_turn, np.sin(turn) / sine, 0.0)
        row_weight = np.where(can_turn, np.cos(turn) - pull_share * self.cosine, 1.0)
        return row_weight, pull_share * self.row_length / np.where(can_turn, self.pull_length, 1.0)


def build_plane(vectors: NDArray[np.floating], pulls: Float64) -> Plane:
    """vectors: (n, d), any length.  pulls: (n, d), any length.

    A row has nowhere to go where nothing pulls, where the pull opposes it, where it lies on its
    pull already, and where it is zero itself.
    """
    row_length, pull_length = lengths(vectors), lengths(pulls)
    usable = (row_length > MIN_LENGTH) & (pull_length > MIN_LENGTH)
    scale = np.where(usable, row_length * pull_length, 1.0)
    cosine = np.einsum("ij,ij->i", vectors, pulls) / scale
    cosine = np.clip(cosine, -1.0, 1.0)
    # Off by 1e-16 / reach near 0, where the whole move is no longer than the reach.
    reach = np.arccos(cosine)
    can_turn = usable & (cosine >= 0) & (reach > MIN_ANGLE)
    return Plane(row_length, pull_length, cosine, np.where(can_turn, reach, 0.0))


def rotate(vectors: Float32, pulls: NDArray[np.floating], plane: Plane, angle: float) -> Float32:
    """Turn each row by at most `angle` towards its pull, along the great circle.

    vectors: (n, d), rows of any length, which is kept.  pulls: (n, d); a zero row where nothing
    pulls.  found: their plane.  angle: radians, 0 to pi/2.
    A row nearer than `angle` lands on its pull; a row that does not move comes back bit for bit.
    NUDGE-N, Zeighami et al. 2025, eq. 9, written as a rotation: no quotient that can cancel.
    """
    # float64: a squared norm off by more than 1e-6 makes Qdrant rescale the row as it is written.
    wide = vectors.astype(np.float64)
    turn = np.minimum(plane.reach, angle)
    row_weight, pull_weight = plane.rotation_weights(turn)
    return restore_unmoved(
        vectors, combine_rows(row_weight, wide, pull_weight, pulls), turn > MIN_ANGLE
    )


def combine_rows(
    row_weight: Float64,
    rows: NDArray[np.floating],
    other_weight: Float64,
    others: NDArray[np.floating],
) -> Float64:
    """Each row times its weight plus its other times its own: (n, d)."""
    total = others.astype(np.float64)
    total *= other_weight[:, None]
    total += row_weight[:, None] * rows
    return total


def restore_unmoved(
    vectors: Float32, moved: NDArray[np.floating], moves: NDArray[np.bool_]
) -> Float32:
    """`moved` as float32 where a row moves, and `vectors` bit for bit where it does not."""
    result = moved.astype(np.float32)
    unmoved = np.flatnonzero(~moves)
    result[unmoved] = vectors[unmoved]
    return result
