"""Judgements as sparse matrices: look-ups, ideal scores and ranks for many queries at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float64
from nudge_sync.metrics import RankingMetric
from nudge_sync.solve.problem import Rows


def index_in_group(groups: Rows) -> Rows:
    """Return the index of each entry within its group, counted from 0: (m,).

    groups: (m,), the group of each entry; entries of one group stand together.
    """
    if len(groups) == 0:
        return np.empty(0, np.int64)
    first = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    return np.arange(len(groups)) - np.repeat(first, np.diff(np.append(first, len(groups))))


def ideal_scores(relevance: csr_matrix, metric: RankingMetric) -> Float64:
    """Return the discounted gain of the best possible ranking of each query: (q,).

    relevance: (q, n).  The divisor of NDCG and recall; 0 for a query without a relevant point.
    """
    gains = metric.gains(relevance.data)
    query = np.repeat(np.arange(relevance.shape[0]), np.diff(relevance.indptr))
    order = np.lexsort((-gains, query))
    rank = np.minimum(index_in_group(query[order]), metric.depth)
    if metric.kind == "mrr":
        rank = np.where(rank > 0, metric.depth, 0)
    discounted_gains = gains[order] * metric.discounts()[rank]
    return np.bincount(query, weights=discounted_gains, minlength=relevance.shape[0]).astype(
        np.float64
    )


def look_up_judgements(relevance: csr_matrix, queries: Rows, points: Rows) -> NDArray[Any]:
    """Return the judgements of (query, point) pairs: (m,), 0 where a pair has none.

    relevance: (q, n), as `merge_duplicates` returns it.  queries, points: (m,).
    """
    width = np.int64(relevance.shape[1])
    entry_query = np.repeat(np.arange(relevance.shape[0]), np.diff(relevance.indptr))
    keys = entry_query * width + relevance.indices
    if len(keys) == 0:
        return np.zeros(len(queries))
    wanted_keys = queries * width + points
    position = np.minimum(np.searchsorted(keys, wanted_keys), len(keys) - 1)
    return np.where(keys[position] == wanted_keys, relevance.data[position], 0.0)


def has_answer(relevance: csr_matrix) -> NDArray[np.bool_]:
    """Return which queries have at least one relevant point: a mask, (q,)."""
    entry_query = np.repeat(np.arange(relevance.shape[0]), np.diff(relevance.indptr))
    return np.bincount(entry_query[relevance.data > 0], minlength=relevance.shape[0]) > 0


def merge_duplicates(relevance: csr_matrix) -> csr_matrix:
    """Return the judgements sorted within each query, with repeated (query, point) pairs summed."""
    merged = csr_matrix(relevance, dtype=np.float64, copy=True)
    merged.sum_duplicates()
    return merged
