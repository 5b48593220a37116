"""Vectors of unit length: what collections by cosine hold bit for bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import Float32


def normalise_rows(rows: NDArray[np.floating]) -> Float32:
    """Return `rows` (n, d) at unit length."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def make_unit_rows(count: int, dimension: int, seed: int) -> Float32:
    """Return random rows (count, dimension) of unit length."""
    return normalise_rows(np.random.default_rng(seed).normal(size=(count, dimension)))


def perturb_rows(rows: Float32, seed: int) -> Float32:
    """Return unit rows a little away from each of the unit rows `rows` (n, d)."""
    noise = np.random.default_rng(seed).normal(size=rows.shape)
    return normalise_rows(rows + 0.4 * noise / np.linalg.norm(noise, axis=1, keepdims=True))
