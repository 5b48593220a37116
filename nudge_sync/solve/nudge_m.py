"""NUDGE-M: a point takes a step of one length along its pull. For dot-product collections only.

Zeighami, Wellmer, Parameswaran: NUDGE, ICLR 2025. Every pulled row gets the same step; lengths
grow, so cosine similarity would undo part of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.solve.nudge_n import TINY, Plane, keep_still, mixed
from nudge_sync.solve.problem import Float32


def translate(vectors: Float32, pulls: NDArray[np.floating], found: Plane, step: float) -> Float32:
    """Move each row by `step` times its own length along its pull.

    vectors: (n, d).  pulls: (n, d), any length; a row with a zero pull comes back bit for bit.
    found: their plane.
    """
    wide = vectors.astype(np.float64)
    moves = (found.pull > TINY) & (step > TINY) & (found.size > TINY)
    share = np.where(moves, step * found.size / np.where(moves, found.pull, 1.0), 0.0)
    return keep_still(vectors, mixed(np.ones(len(share)), wide, share, pulls), moves)
