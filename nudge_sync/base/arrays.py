"""The array types that every layer names, and how rows are numbered."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Int32: TypeAlias = NDArray[np.int32]
Int64: TypeAlias = NDArray[np.int64]


def pair_key(high: NDArray[np.integer[Any]], low: NDArray[np.integer[Any]]) -> Int64:
    """Return one int64 for each pair of row numbers, ordered by `high` and then by `low`.

    high, low: (n,) from 0 to 2**31 - 1, or -1 for `high`, whose keys then lie below all others.
    """
    # In place: with tens of millions of clicks each temporary takes hundreds of megabytes.
    keys = np.array(high, np.int64)
    keys <<= 32
    keys |= low
    return keys


def number_by_appearance(groups: NDArray[np.integer[Any]]) -> Int64:
    """Return the same groups, (n,), numbered from 0 in the order in which they first appear."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group]
