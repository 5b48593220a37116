"""Clients that behave like nobody else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.log.sorting import mark_changes, order_rows

_MIN_DEVIATION = 0.5
"""In logarithms: where all clients are alike, one may still do e times as much."""


def is_outlier(counts: NDArray[np.int64], limit: float) -> NDArray[np.bool_]:
    """Which counts lie more than `limit` robust deviations above the median, on a log scale."""
    if not counts.size:
        return np.zeros(0, np.bool_)
    log_counts = np.log1p(counts)
    median = np.median(log_counts)
    deviation = max(1.4826 * float(np.median(np.abs(log_counts - median))), _MIN_DEVIATION)
    return np.asarray((log_counts - median) / deviation > limit)


def find_bots(
    actor: NDArray[np.int32],
    query_group: NDArray[np.int32],
    point: NDArray[np.int32],
    limit: float,
) -> NDArray[np.int32]:
    """The actors who click far more than others, or one point on far more different queries.

    All three are (e,), one row a click; sorted ascending, each actor once.
    """
    if not len(actor):
        return actor
    order, is_new = order_rows([actor, point, query_group])
    sorted_actor = actor[order]
    starts = np.flatnonzero(mark_changes(sorted_actor))
    click_counts = np.diff(np.append(starts, len(sorted_actor)))
    distinct_actor, distinct_point = sorted_actor[is_new], point[order[is_new]]
    pair_starts = np.flatnonzero(mark_changes(distinct_actor) | mark_changes(distinct_point))
    query_counts = np.diff(np.append(pair_starts, len(distinct_actor)))
    max_query_counts = np.maximum.reduceat(
        query_counts, np.flatnonzero(mark_changes(distinct_actor[pair_starts]))
    )
    return np.asarray(
        sorted_actor[starts][is_outlier(click_counts, limit) | is_outlier(max_query_counts, limit)]
    )
