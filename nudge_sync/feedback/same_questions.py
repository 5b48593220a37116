"""Questions that were embedded more than once: vectors that differ by noise are made one."""

from __future__ import annotations

import numpy as np

from nudge_sync.base.arrays import Float32, Float64, Int32, Int64
from nudge_sync.feedback.clicks.query_groups import group_queries

SAME_QUESTION_COSINE = 0.9999
"""Least cosine of two vectors of one question. Batches, devices and hosted models embed one text
with a cosine above it; other wordings are further apart."""
_TREE_COUNT = 3
"""So near rows are hardly ever separated by a random direction."""


def find_first_asked(vectors: Float32, vector_rows: Int32, times: Float64) -> Int64:
    """Return for each query the row of the vector with which its question was first asked: (q,).

    vectors: (n, d), unit rows.  vector_rows: (q,), the row of each query's vector.
    times: (q,), when it was asked. Of equally early ones, and where nobody knows, it is the first.
    So feedback on later searches changes no vector of earlier ones.
    """
    rows, position = np.unique(vector_rows, return_inverse=True)
    leaders = group_queries(
        vectors, rows.astype(np.int64), SAME_QUESTION_COSINE, tree_count=_TREE_COUNT
    )
    _, question = np.unique(leaders, return_inverse=True)
    question = question[position]
    order = np.argsort(times, kind="stable")
    _, first = np.unique(question[order], return_index=True)
    return vector_rows[order[first]][question].astype(np.int64)
