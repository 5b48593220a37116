"""Ranges of time, as `load_log` asks for them, for whole columns of times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64
from nudge_sync.connector import Where
from nudge_sync.feedback.blocks.time_ranges import EARLIEST_DATED


def find_earliest(time_ranges: Sequence[Where]) -> float:
    """Return the earliest dated time in some ranges, or 0 where they do not limit it.

    time_ranges: filters that name nothing but "timestamp".
    """
    bounds = list(_list_bounds(time_ranges))
    dated = [low for low, _ in bounds if low >= EARLIEST_DATED]
    return min(dated, default=0.0) if len(bounds) == len(time_ranges) else 0.0


def mark_in_ranges(
    times: Float64, has_time: NDArray[np.bool_], time_ranges: Sequence[Where]
) -> NDArray[np.bool_]:
    """Return which rows lie in one of some ranges, (n,).

    times: (n,). has_time: (n,), which of them could be read; the others count as undated.
    """
    known = np.where(has_time, times, 0.0)
    bounds = list(_list_bounds(time_ranges))
    if len(bounds) < len(time_ranges):
        return np.ones(len(times), np.bool_)
    in_range = np.zeros(len(times), np.bool_)
    for low, high in bounds:
        in_range |= (known >= low) & (known < high)
    return in_range


def _list_bounds(time_ranges: Sequence[Where]) -> Iterator[tuple[float, float]]:
    for where in time_ranges:
        bounds = where.get("timestamp")
        if isinstance(bounds, tuple):
            yield bounds
