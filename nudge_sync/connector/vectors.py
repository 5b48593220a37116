"""Whether two arrays of vectors are the same, and how far apart their rows are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import Float32

TOLERANCE = 1e-6
"""Largest difference of a component that a collection which rescales may make by itself."""


def is_same_vector(left: Float32, right: Float32, *, rescales: bool) -> NDArray[np.bool_]:
    """(n,): whether rows of two arrays (n, d) hold the same vector.

    Bit for bit; within TOLERANCE where the collection rescales what is written to it.
    """
    if left.shape != right.shape:
        # A collection made anew with another dimension: nothing in it is what was kept.
        return np.zeros(len(left), np.bool_)
    if rescales:
        close: NDArray[np.bool_] = (np.abs(left - right) <= TOLERANCE).all(axis=1)
        return close
    left_bits, right_bits = (np.ascontiguousarray(rows).view(np.uint32) for rows in (left, right))
    equal: NDArray[np.bool_] = (left_bits == right_bits).all(axis=1)
    return equal


def angles(left: Float32, right: Float32) -> NDArray[np.float64]:
    """(n,): the angle between rows of two arrays (n, d), in radians; pi/2 where one is zero."""
    left_units, right_units = (_unit(rows) for rows in (left, right))
    # Kahan's form: arccos of a dot product loses half the digits of a small angle.
    difference_norms = np.linalg.norm(left_units - right_units, axis=1)
    sum_norms = np.linalg.norm(left_units + right_units, axis=1)
    return np.asarray(2 * np.arctan2(difference_norms, sum_norms), np.float64)


def _unit(rows: Float32) -> NDArray[np.float64]:
    doubles = rows.astype(np.float64)
    lengths = np.linalg.norm(doubles, axis=1, keepdims=True)
    return np.asarray(np.divide(doubles, lengths, out=np.zeros_like(doubles), where=lengths > 0))
