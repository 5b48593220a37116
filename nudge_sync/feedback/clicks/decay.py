"""The weight of old behaviour: it halves with each half-life."""

from __future__ import annotations

import numpy as np

from nudge_sync.base.arrays import Float64

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
    dated = times[times > 0]
    if half_life_days is None or not dated.size:
        return np.ones(len(times), np.float64)
    newest = np.quantile(dated, _NEWEST_QUANTILE, method="higher")
    age = np.clip((newest - times) / (half_life_days * _SECONDS_PER_DAY), 0, _MAX_HALF_LIVES)
    return np.where(times > 0, np.exp2(-age), 1.0)
