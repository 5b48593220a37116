"""The weight of old behaviour: it halves with each half-life."""

from __future__ import annotations

import numpy as np

from nudge_sync.base.arrays import Float64
from nudge_sync.base.spooled import compute_column, read_parts

_SECONDS_PER_DAY = 86_400.0
_NEWEST_QUANTILE = 0.99
_MAX_HALF_LIVES = 100.0
"""Factors stay above 0, so that a pair with old impressions alone still has a click rate."""


def compute_decay_factors(times: Float64, half_life_days: float | None) -> Float64:
    """Return the factor of each time, (s,): 2^(-age / half-life), with age 0 for the newest.

    times: (s,), seconds since 1970; 0 means undated, whose factor is 1.
    Age is measured from the 99th percentile of the times rather than from a clock, so that the same
    log always gives the same factors and a single wrong clock cannot make all other times old.
    """
    newest = find_newest(times)

    def compute(part: slice) -> Float64:
        if half_life_days is None or not newest:
            return np.ones(part.stop - part.start)
        age = (newest - times[part]) / (half_life_days * _SECONDS_PER_DAY)
        factors = np.exp2(-np.clip(age, 0, _MAX_HALF_LIVES))
        return np.where(times[part] > 0, factors, 1.0)

    return compute_column(len(times), np.float64, compute)


def find_newest(times: Float64) -> float:
    """Return the 99th percentile of the times that are dated, itself one of them; 0 for none."""
    dated = sum(int(np.count_nonzero(times[part] > 0)) for part in read_parts(len(times)))
    # As many as np.quantile leaves above it with method="higher".
    newer = dated - 1 - int(np.ceil(_NEWEST_QUANTILE * (dated - 1)))
    newest = np.zeros(0)
    for part in read_parts(len(times)):
        newest = np.sort(np.concatenate([newest, times[part]]))[-1 - newer :]
    return float(newest[0]) if dated else 0.0
