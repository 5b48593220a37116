"""Labels: what people say outright about a point and a query."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int32, Int64, pair_key
from nudge_sync.base.spooled import read_parts
from nudge_sync.feedback.clicks.query_groups import group_queries
from nudge_sync.feedback.log.columns import Actions, Log


def keep_latest_labels(labels: Actions) -> Actions:
    """Return one label for each (search, point): the latest, of equally late ones the lowest."""
    order = np.lexsort((-labels.weight, labels.time, labels.point, labels.search))
    sorted_labels = labels.select(order)
    is_last = np.ones(len(sorted_labels), np.bool_)
    is_last[:-1] = (np.diff(sorted_labels.search) != 0) | (np.diff(sorted_labels.point) != 0)
    return sorted_labels.select(is_last)


def group_labels(log: Log, labels: Actions, query_groups: Int32, min_cosine: float) -> Int32:
    """Return the query group of each label, (l,), or -1 where its query is in none.

    That is the group of the label's query vector, or of a near one, also where its own search does
    not count or nobody clicked there.
    labels: on stored searches.  query_groups: (s,), -1 for searches that do not count.
    """
    vector_row = log.searches.vector_row
    # The last element answers for vector_row -1.
    leader = np.full(len(log.query_vectors) + 1, -1, np.int32)
    for part in read_parts(len(query_groups)):
        is_grouped = query_groups[part] >= 0
        leader[vector_row[part][is_grouped]] = query_groups[part][is_grouped]
    label_rows = vector_row[labels.search]
    strays = np.unique(label_rows[(label_rows >= 0) & (leader[label_rows] < 0)])
    if not len(strays):
        return leader[label_rows]
    leaders = np.unique(leader[leader >= 0])
    # Those that lead come first, so that strays follow them.
    rows = np.concatenate([leaders, strays]).astype(np.int64)
    followed = group_queries(log.query_vectors, rows, min_cosine)[len(leaders) :]
    leader[strays] = np.where(np.isin(followed, leaders), followed, -1)
    return leader[label_rows]


def is_overruled(
    labels: Actions,
    label_groups: Int32,
    query_groups: Int32,
    search: Int64,
    point: Int64,
) -> NDArray[np.bool_]:
    """Return which pairs of a search and a point somebody labelled, (p,): there, or on another
    search of the same query group. Behaviour on these pairs does not count.

    label_groups: (l,), as `group_labels` returns them.  query_groups: (s,).  search, point: (p,).
    """
    is_grouped = label_groups >= 0
    labelled_pairs = pair_key(label_groups[is_grouped], labels.point[is_grouped])
    return np.isin(pair_key(query_groups[search], point), labelled_pairs)
