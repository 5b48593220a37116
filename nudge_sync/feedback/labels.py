"""Labels: what people say outright about a point and a query."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int32, Int64, pair_key
from nudge_sync.feedback.log.columns import Actions


def keep_latest_labels(labels: Actions) -> Actions:
    """Return one label for each (search, point): the latest, of equally late ones the lowest."""
    order = np.lexsort((-labels.weight, labels.time, labels.point, labels.search))
    sorted_labels = labels.select(order)
    is_last = np.ones(len(sorted_labels), np.bool_)
    is_last[:-1] = (np.diff(sorted_labels.search) != 0) | (np.diff(sorted_labels.point) != 0)
    return sorted_labels.select(is_last)


def is_overruled(
    labels: Actions,
    query_groups: Int32,
    search: Int64,
    point: Int64,
) -> NDArray[np.bool_]:
    """Return which pairs of a search and a point somebody labelled, (p,): there, or on another
    search of the same query group. Behaviour on these pairs does not count.

    labels: on stored searches.  query_groups: (s,), -1 for searches that do not count.
    search, point: (p,).
    """
    label_groups = query_groups[labels.search]
    is_grouped = label_groups >= 0
    labelled_pairs = pair_key(label_groups[is_grouped], labels.point[is_grouped])
    return np.isin(pair_key(query_groups[search], point), labelled_pairs)
