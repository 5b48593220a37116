"""Old behaviour counts for less, and in the end not at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SECONDS_PER_DAY = 86_400.0
_NEWEST_QUANTILE = 0.99
_MAX_HALF_LIVES = 100.0
"""Half-lives."""


def compute_decay_factors(
    times: NDArray[np.float64], half_life_days: float | None
) -> NDArray[np.float64]:
    """What each moment still counts: 1 at the newest of them, half after each half-life.

    times: seconds since 1970; 0 is undated and keeps its full worth. There is no clock in it: the
    same log gives the same worth at any time. Of many moments the newest hundredth counts as one,
    so that a single wrong clock cannot make all others old. Nothing counts so little that it
    could not be told from nothing.
    """
    dated = times[times > 0]
    if half_life_days is None or not dated.size:
        return np.ones(len(times), np.float64)
    newest = np.quantile(dated, _NEWEST_QUANTILE, method="higher")
    age = np.clip((newest - times) / (half_life_days * _SECONDS_PER_DAY), 0, _MAX_HALF_LIVES)
    return np.where(times > 0, np.exp2(-age), 1.0)


def find_history_start(history_days: float, now: float) -> float:
    """The first moment that is still looked at, a midnight in UTC: the same all day long."""
    return now // _SECONDS_PER_DAY * _SECONDS_PER_DAY - history_days * _SECONDS_PER_DAY
