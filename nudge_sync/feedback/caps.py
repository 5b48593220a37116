"""How much one person may say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.sorting import ordered


def within_cap(keys: Sequence[NDArray[np.int32]], cap: int) -> NDArray[np.bool_]:
    """Which rows are among the first `cap` of those with the same keys, in the order given."""
    rows = len(keys[0])
    order, changes = ordered(keys)
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
    order, fresh = ordered([*keys, among])
    changes = np.ones(rows, np.bool_)
    changes[1:] = np.logical_or.reduce([np.diff(key[order]) != 0 for key in keys])
    group = np.cumsum(changes) - 1
    counts = np.bincount(group[fresh])
    result = np.zeros(rows, np.int64)
    result[order] = counts[group]
    return result
