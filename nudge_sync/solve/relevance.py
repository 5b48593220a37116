"""Small array steps that ranking needs again and again, for many queries at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.metrics import Metric
from nudge_sync.solve.problem import Float64, Rows


def positions(groups: Rows) -> Rows:
    """The place of each entry within its group, from 0: (m,). `groups` is sorted."""
    if len(groups) == 0:
        return np.empty(0, np.int64)
    first = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    return np.arange(len(groups)) - np.repeat(first, np.diff(np.append(first, len(groups))))


def ideal(relevance: csr_matrix, metric: Metric) -> Float64:
    """What the best possible ranking of each query sums to: (q,); 0 where nothing is relevant."""
    gains = metric.gains(relevance.data)
    owner = np.repeat(np.arange(relevance.shape[0]), np.diff(relevance.indptr))
    order = np.lexsort((-gains, owner))
    place = np.minimum(positions(owner[order]), metric.depth)
    if metric.kind == "mrr":
        place = np.where(place > 0, metric.depth, 0)
    worth = gains[order] * metric.discounts()[place]
    return np.bincount(owner, weights=worth, minlength=relevance.shape[0]).astype(np.float64)


def lookup(relevance: csr_matrix, queries: Rows, points: Rows) -> NDArray[Any]:
    """The judgements at (query, point) pairs, 0 where there is none: (m,)."""
    width = np.int64(relevance.shape[1])
    owner = np.repeat(np.arange(relevance.shape[0]), np.diff(relevance.indptr))
    known = owner * width + relevance.indices
    if len(known) == 0:
        return np.zeros(len(queries))
    wanted = queries * width + points
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[at] == wanted, relevance.data[at], 0.0)


def answered(relevance: csr_matrix) -> NDArray[np.bool_]:
    """Which queries have at least one relevant point: (q,)."""
    owner = np.repeat(np.arange(relevance.shape[0]), np.diff(relevance.indptr))
    return np.bincount(owner[relevance.data > 0], minlength=relevance.shape[0]) > 0


def canonical(relevance: csr_matrix) -> csr_matrix:
    """The same judgements, sorted within each query and each (query, point) once (the sum)."""
    tidy = csr_matrix(relevance, dtype=np.float64, copy=True)
    tidy.sum_duplicates()
    return tidy
