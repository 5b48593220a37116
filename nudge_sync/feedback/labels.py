"""What people said outright."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.log.columns import Actions


def keep_latest_labels(labels: Actions) -> Actions:
    """One row a (search, point): the latest, and of equally late ones the lowest."""
    order = np.lexsort((-labels.weight, labels.time, labels.point, labels.search))
    sorted_labels = labels.select(order)
    is_last = np.ones(len(sorted_labels), np.bool_)
    is_last[:-1] = (np.diff(sorted_labels.search) != 0) | (np.diff(sorted_labels.point) != 0)
    return sorted_labels.select(is_last)


def is_overruled(
    labels: Actions,
    query_groups: NDArray[np.int32],
    search: NDArray[np.int64],
    point: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """(p,): which pairs of a search and a point behaviour need not speak of, as somebody labelled
    the point on one of the searches that count as the same query.

    said: labels on stored searches; groups: (s,), for each search its group, or -1.
    """
    label_groups = query_groups[labels.search]
    labelled_pairs = (
        label_groups[label_groups >= 0].astype(np.int64) << 32 | labels.point[label_groups >= 0]
    )
    return np.isin(query_groups[search].astype(np.int64) << 32 | point, labelled_pairs)
