"""What people said outright."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.log.columns import Actions


def latest(labels: Actions) -> Actions:
    """One row a (search, point): the latest, and of equally late ones the lowest."""
    order = np.lexsort((-labels.weight, labels.time, labels.point, labels.search))
    rows = labels.only(order)
    last = np.ones(len(rows), np.bool_)
    last[:-1] = (np.diff(rows.search) != 0) | (np.diff(rows.point) != 0)
    return rows.only(last)


def overruled(
    said: Actions,
    groups: NDArray[np.int32],
    search: NDArray[np.int64],
    point: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """(p,): which pairs of a search and a point behaviour need not speak of, as somebody labelled
    the point on one of the searches that count as the same query.

    said: labels on stored searches; groups: (s,), for each search its group, or -1.
    """
    of = groups[said.search]
    labelled = of[of >= 0].astype(np.int64) << 32 | said.point[of >= 0]
    return np.isin(groups[search].astype(np.int64) << 32 | point, labelled)
