"""Neighbour transport, a trial: unjudged points go along with the judged ones around them.

For an unjudged point u that the index returns for a logged query, with x_j the judged points
nearest to it and x_j' where they went,

    u' = unit(u + lambda sum_j w_uj (x_j' - x_j)),   w_uj = v_uj / max(1, sum_j v_uj),
    v_uj = exp(10 (u . x_j - 1)),

so that the weights fade where no judged point is near. It writes points that nobody has judged.
"""

from __future__ import annotations

import numpy as np

from nudge_sync.solve.topk import find_top_k

RETURNED = 10
"""Points that the index returns for a query."""
NEIGHBOURS, SHARPNESS, STRENGTH = 10, 10.0, 1.0


def transport_neighbours(old, new, moved, judged, queries, fades=True):
    """Return all documents, and the rows that were carried along.

    old, new: (n, d), unit rows before and after nudging.  moved, judged: rows.  queries: (q, d).
    """
    returned = np.unique(find_top_k(queries, old, RETURNED).rows)
    carried = np.setdiff1d(returned[returned >= 0], np.union1d(judged, moved))
    if not len(carried) or not len(moved):
        return new, carried[:0]
    count = min(NEIGHBOURS, len(judged))
    near = find_top_k(old[carried], old[judged], count)
    weights = np.exp(SHARPNESS * (near.scores - 1))
    total = weights.sum(axis=1, keepdims=True)
    weights /= np.maximum(total, 1) if fades else total
    shift = (new[judged] - old[judged])[near.rows]
    rows = old[carried] + STRENGTH * (weights[..., None] * shift).sum(axis=1)
    documents = new.copy()
    documents[carried] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return documents, carried
