"""Clients that behave like nobody else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.log.sorting import changes, ordered

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
    if not len(actor):
        return actor
    order, fresh = ordered([actor, point, group])
    ranked = actor[order]
    first = np.flatnonzero(changes(ranked))
    many = np.diff(np.append(first, len(ranked)))
    by, clicked = ranked[fresh], point[order[fresh]]
    pair = np.flatnonzero(changes(by) | changes(clicked))
    queries = np.diff(np.append(pair, len(by)))
    widest = np.maximum.reduceat(queries, np.flatnonzero(changes(by[pair])))
    return np.asarray(ranked[first][outliers(many, limit) | outliers(widest, limit)])
