"""NUDGE-N: a point turns towards the queries it answers and keeps its length.

Zeighami, Wellmer, Parameswaran: NUDGE, ICLR 2025. With x a unit vector and g its pull (the sum of
the queries it answers), they maximise g . x' under |x'| = 1 and |x' - x| <= r. The optimum (their
eq. 9) is a rotation from x towards g by the angle t = min(theta, phi):

    x' = cos(t) x + sin(t) z,   z = unit(g - (g . x) x),
    theta = arccos(1 - r^2 / 2),   phi = arccos(x . unit(g)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.solve.geometry import MIN_LENGTH, combine_rows, lengths, restore_unmoved

MIN_ANGLE = 1e-7
"""Smallest rotation, in radians, that float32 coordinates can show."""


@dataclass(frozen=True)
class Plane:
    """The plane of each row x and its pull g: lengths and angle, all that a rotation needs."""

    row_length: Float64
    """(n,): |x|."""
    pull_length: Float64
    """(n,): |g|."""
    cosine: Float64
    """(n,): cos(phi), phi the angle between x and g."""
    reach: Float64
    """(n,): phi in radians; 0 where the row cannot turn."""

    @classmethod
    def concatenate(cls, parts: Sequence[Plane]) -> Plane:
        """Return one plane with the rows of all `parts`, in the order given."""
        columns = ([getattr(part, column.name) for part in parts] for column in fields(cls))
        return cls(*(np.concatenate([np.empty(0), *column]) for column in columns))

    def select(self, rows: slice) -> Plane:
        """Return the plane of the rows in a slice."""
        return Plane(
            self.row_length[rows], self.pull_length[rows], self.cosine[rows], self.reach[rows]
        )

    def rotation_weights(self, turn: Float64) -> tuple[Float64, Float64]:
        """Return the weights (u, v), each (n,), with which u x + v g is x turned by `turn`.

        turn: (n,), radians, at most `reach`.
        On unit rows u = cos(t) - sin(t) cos(phi) / sin(phi) and v = sin(t) / sin(phi).
        """
        can_turn = self.reach > 0
        sine = np.where(can_turn, np.sin(self.reach), 1.0)
        pull_share = np.where(can_turn, np.sin(turn) / sine, 0.0)
        row_weight = np.where(can_turn, np.cos(turn) - pull_share * self.cosine, 1.0)
        return row_weight, pull_share * self.row_length / np.where(can_turn, self.pull_length, 1.0)


def build_plane(vectors: NDArray[np.floating], pulls: Float64) -> Plane:
    """Measure the plane of each row and its pull.

    vectors: (n, d), any length.  pulls: (n, d), any length.
    A row cannot turn (`reach` is 0) where its pull or the row itself is zero, where the pull
    points away from it by more than a right angle, and where it lies on its pull already.
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

    vectors: (n, d), rows of any length, which is kept.  pulls: (n, d), any length; a zero row
    where nothing pulls.  plane: `build_plane` of the two.  angle: radians, 0 to pi/2.
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
