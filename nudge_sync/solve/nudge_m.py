"""NUDGE-M: each point takes a step of one length along its pull. For dot-product collections only.

Zeighami, Wellmer, Parameswaran: NUDGE, ICLR 2025. With g the pull of x, they maximise g . x' under
|x' - x| <= gamma without a bound on |x'|, which gives

    x' = x + gamma unit(g).

Lengths grow, so cosine similarity would undo part of the move. Here gamma is a multiple of |x|.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32
from nudge_sync.solve.geometry import MIN_LENGTH, combine_rows, restore_unmoved
from nudge_sync.solve.nudge_n import Plane


def translate(vectors: Float32, pulls: NDArray[np.floating], plane: Plane, step: float) -> Float32:
    """Move each row by `step` times its own length along its pull.

    vectors: (n, d), any length.  pulls: (n, d), any length; a row with a zero pull comes back bit
    for bit.  plane: `build_plane` of the two.  step: not negative.
    """
    wide = vectors.astype(np.float64)
    moves = (plane.pull_length > MIN_LENGTH) & (step > MIN_LENGTH) & (plane.row_length > MIN_LENGTH)
    pull_weight = np.where(
        moves, step * plane.row_length / np.where(moves, plane.pull_length, 1.0), 0.0
    )
    return restore_unmoved(
        vectors, combine_rows(np.ones(len(pull_weight)), wide, pull_weight, pulls), moves
    )
