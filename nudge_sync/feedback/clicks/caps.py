"""How much one person may say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.log.sorting import mark_changes, order_rows


def is_within_cap(keys: Sequence[NDArray[np.int32]], cap: int) -> NDArray[np.bool_]:
    """Which rows are among the first `cap` of those with the same keys, in the order given."""
    row_count = len(keys[0])
    order, is_new = order_rows(keys)
    run = np.cumsum(is_new, dtype=np.int32)
    keep = np.ones(row_count, np.bool_)
    # Beyond the first `cap` of a run, the row so many before is of the same one.
    keep[order[cap:]] = run[cap:] != run[: max(0, row_count - cap)]
    return keep


def count_distinct(
    keys: Sequence[NDArray[np.int32]], values: NDArray[np.int32]
) -> NDArray[np.int64]:
    """For each row, how many different values `among` takes in the rows with the same keys."""
    row_count = len(values)
    if not row_count:
        return np.zeros(0, np.int64)
    order, is_new = order_rows([*keys, values])
    is_new_key = np.logical_or.reduce([mark_changes(key[order]) for key in keys])
    run = np.cumsum(is_new_key, dtype=np.int32) - 1
    counts = np.empty(row_count, np.int64)
    counts[order] = np.bincount(run[is_new])[run]
    return counts
