"""How much one person may say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def within_cap(keys: Sequence[NDArray[np.int32]], cap: int) -> NDArray[np.bool_]:
    """Which rows are among the first `cap` of those with the same keys, in the order given."""
    rows = len(keys[0])
    order = _ordered(keys)
    changes = _changes(keys, order)
    starts = np.flatnonzero(changes)
    place = np.arange(rows) - np.repeat(starts, np.diff(np.append(starts, rows)))
    keep = np.zeros(rows, np.bool_)
    keep[order] = place < cap
    return keep


def distinct(keys: Sequence[NDArray[np.int32]], among: NDArray[np.int32]) -> NDArray[np.int64]:
    """For each row, how many different values `among` takes in the rows with the same keys."""
    rows = len(among)
    if not rows:
        return np.zeros(0, np.int64)
    order = _ordered([*keys, among])
    changes = _changes(keys, order)
    fresh = changes.copy()
    fresh[1:] |= np.diff(among[order]) != 0
    group = np.cumsum(changes) - 1
    counts = np.bincount(group, weights=fresh).astype(np.int64)
    result = np.zeros(rows, np.int64)
    result[order] = counts[group]
    return result


def _ordered(keys: Sequence[NDArray[np.int32]]) -> NDArray[np.int64]:
    """The rows by their keys, the first one first, in the order given where all are the same."""
    # Pairs of 32 bits sort in half the passes.
    keys = list(keys)
    wide = [_wide(*keys[at : at + 2]) for at in range(0, len(keys), 2)]
    return np.lexsort(wide[::-1])


def _wide(key: NDArray[np.int32], other: NDArray[np.int32] | None = None) -> NDArray[np.int64]:
    if other is None:
        return key.astype(np.int64)
    return key.astype(np.int64) << 32 | other.astype(np.uint32)


def _changes(keys: Sequence[NDArray[np.int32]], order: NDArray[np.int64]) -> NDArray[np.bool_]:
    changes = np.ones(len(order), np.bool_)
    if len(order):
        changes[1:] = np.logical_or.reduce([np.diff(key[order]) != 0 for key in keys])
    return changes
