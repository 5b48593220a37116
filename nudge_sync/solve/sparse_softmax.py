"""The softmax of NUDGE-C over the points near each query, where there are too many for all.

Each query looks at its nearest points and at those it judges; which they are is looked up again as
points move. That costs a part of the gain (on NFCorpus, made to use it, 9.4 points of NDCG@10 where
all points give 12.5, and NUDGE-N 5), so it is for what would otherwise take hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.threads import map_in_threads
from nudge_sync.solve.line_search.paths import chunks
from nudge_sync.solve.problem import Float32, Rows
from nudge_sync.solve.relevance import lookup
from nudge_sync.solve.topk import best

MANY = 200_000_000
"""Points times queries from which a step over all of them takes too long: some seconds."""
NEAREST = 128
PAIRS = 1 << 14
"""Pairs scored at once: two gathers of 25 MB at 384 dimensions."""


@dataclass(frozen=True)
class Near:
    """The pairs that count, by query."""

    query: Rows
    point: Rows
    start: Rows
    """(q + 1,): where each query's pairs start."""
    wanted: NDArray[np.float64]
    """(pairs,): y; 0 where the point does not answer."""
    rejected: NDArray[np.float64]


def near(
    queries: Float32, vectors: Float32, positive: csr_matrix, negative: csr_matrix | None
) -> Near:
    """The nearest points of each query, and those it judges.  vectors: (n, d), as scored."""
    found = best(queries, vectors, NEAREST, similarity="dot").rows
    owner, place = np.nonzero(found >= 0)
    shape = positive.shape
    pattern = csr_matrix((np.ones(len(owner)), (owner, found[owner, place])), shape=shape)
    for judged in (positive, negative):
        if judged is not None:
            pattern = csr_matrix(pattern + abs(judged))
    pattern.sort_indices()
    query = np.repeat(np.arange(shape[0]), np.diff(pattern.indptr))
    point = pattern.indices.astype(np.int64)
    rejected = np.zeros(len(query)) if negative is None else lookup(negative, query, point)
    wanted = lookup(positive, query, point)
    return Near(query, point, pattern.indptr.astype(np.int64), wanted, rejected)


def responsibility(
    vectors: Float32, queries: Float32, pairs: Near, rivals: Float32, tau: float
) -> tuple[Float32, Float32]:
    """The queries that each point takes, summed, (n, d), and how many, (n,).

    vectors: (n, d), as scored.
    """

    def score(part: slice) -> Float32:
        one, other = vectors[pairs.point[part]], queries[pairs.query[part]]
        return np.asarray(np.einsum("ij,ij->i", one, other), np.float32)

    scores = np.concatenate(map_in_threads(score, list(chunks(len(pairs.query), PAIRS))))
    shares = _shares(scores.astype(np.float64), pairs, rivals, tau)
    whole = csr_matrix(
        (shares.astype(np.float32), pairs.point, pairs.start), shape=(len(queries), len(vectors))
    )
    mass = np.bincount(pairs.point, shares, minlength=len(vectors))
    return np.asarray(whole.T @ queries, np.float32), mass.astype(np.float32)


def _shares(
    scores: NDArray[np.float64], pairs: Near, rivals: Float32, tau: float
) -> NDArray[np.float64]:
    count = len(pairs.start) - 1
    top = np.maximum.reduceat(scores, pairs.start[:-1])
    top = np.maximum(top, rivals.max(axis=1, initial=-np.inf))
    odds = np.exp(np.maximum(tau * (scores - top[pairs.query]), -80.0))
    beside = np.exp(np.maximum(tau * (rivals.astype(np.float64) - top[:, None]), -80.0))
    answers = pairs.wanted > 0
    others = np.bincount(pairs.query, np.where(answers, 0.0, odds), minlength=count)
    others += beside.sum(axis=1)
    total = odds + others[pairs.query]
    pushed = np.bincount(pairs.query, pairs.wanted / total, minlength=count)[pairs.query]
    shares = np.where(answers, pairs.wanted * odds / total, odds * pushed)
    pushes = np.where(answers, 0.0, odds / others[pairs.query])
    found: NDArray[np.float64] = shares + pairs.rejected * pushes
    return found
