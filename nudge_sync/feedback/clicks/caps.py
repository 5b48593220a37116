"""How much one person may say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.log.sorting import changes, ordered


def within_cap(keys: Sequence[NDArray[np.int32]], cap: int) -> NDArray[np.bool_]:
    """Which rows are among the first `cap` of those with the same keys, in the order given."""
    rows = len(keys[0])
    order, fresh = ordered(keys)
    run = np.cumsum(fresh, dtype=np.int32)
    keep = np.ones(rows, np.bool_)
    # Beyond the first `cap` of a run, the row so many before is of the same one.
    keep[order[cap:]] = run[cap:] != run[: max(0, rows - cap)]
    return keep


def distinct(keys: Sequence[NDArray[np.int32]], among: NDArray[np.int32]) -> NDArray[np.int64]:
    """For each row, how many different values `among` takes in the rows with the same keys."""
    rows = len(among)
    if not rows:
        return np.zeros(0, np.int64)
    order, fresh = ordered([*keys, among])
    other = np.logical_or.reduce([changes(key[order]) for key in keys])
    group = np.cumsum(other, dtype=np.int32) - 1
    result = np.empty(rows, np.int64)
    result[order] = np.bincount(group[fresh])[group]
    return result
