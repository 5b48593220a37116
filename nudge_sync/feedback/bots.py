"""Clients that behave like nobody else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.caps import within_cap

_LEAST_SPREAD = 0.5
"""In logarithms: where all clients are alike, one may still do e times as much."""


def outliers(counts: NDArray[np.int64], limit: float) -> NDArray[np.bool_]:
    """Which counts lie more than `limit` robust deviations above the median, on a log scale."""
    if not counts.size:
        return np.zeros(0, np.bool_)
    logs = np.log1p(counts)
    middle = np.median(logs)
    spread = max(1.4826 * float(np.median(np.abs(logs - middle))), _LEAST_SPREAD)
    return np.asarray((logs - middle) / spread > limit)


def suspicious(
    actor: NDArray[np.int32],
    group: NDArray[np.int32],
    point: NDArray[np.int32],
    limit: float,
) -> NDArray[np.int32]:
    """The actors who click far more than others, or one point on far more different queries.

    All three are (e,), one row a click; sorted ascending, each actor once.
    """
    actors, first = np.unique(actor, return_inverse=True)
    many = np.bincount(first, minlength=len(actors))
    once = within_cap([actor, point, group], 1)
    pair, at = np.unique(
        actor[once].astype(np.int64) << 32 | point[once].astype(np.int64), return_counts=True
    )
    widest = np.zeros(len(actors), np.int64)
    np.maximum.at(widest, np.searchsorted(actors, pair >> 32), at)
    return np.asarray(actors[outliers(many, limit) | outliers(widest, limit)])
