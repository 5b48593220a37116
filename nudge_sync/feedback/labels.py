"""What people said outright."""

from __future__ import annotations

import numpy as np

from nudge_sync.feedback.columns import Actions


def latest(labels: Actions) -> Actions:
    """One row a (search, point): the latest, and of equally late ones the lowest."""
    order = np.lexsort((-labels.weight, labels.time, labels.point, labels.search))
    rows = labels.only(order)
    last = np.ones(len(rows), np.bool_)
    last[:-1] = (np.diff(rows.search) != 0) | (np.diff(rows.point) != 0)
    return rows.only(last)
