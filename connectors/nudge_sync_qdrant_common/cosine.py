"""What a cosine collection does to the vectors written to it."""

from __future__ import annotations

import numpy as np

from nudge_sync.connector import Points
from nudge_sync.errors import InputError

UNIT_LENGTH_TOLERANCE = 1e-6
"""A row is stored as it is if its squared length is this close to 1, or exactly 0.

From Qdrant's segment/src/spaces/tools.rs.
"""


def refuse_rescaled(points: Points, subject: str) -> None:
    """Raise InputError if a cosine collection would rescale a row as it is written."""
    squared_lengths = np.einsum("ij,ij->i", points.vectors, points.vectors, dtype=np.float64)
    rescaled_rows = np.flatnonzero(
        (np.abs(squared_lengths - 1.0) > UNIT_LENGTH_TOLERANCE) & (squared_lengths != 0.0)
    )
    if len(rescaled_rows):
        row = int(rescaled_rows[0])
        raise InputError(
            f"point {points.ids[row]} in {subject}: its new vector has length "
            f"{squared_lengths[row] ** 0.5:.7g}, and a cosine collection rescales what is not of "
            "unit length; use a unit-length method (nudge-n or nudge-c)"
        )
