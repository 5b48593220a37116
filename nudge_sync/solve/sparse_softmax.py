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

from nudge_sync.base.arrays import Float32
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.threads import map_in_threads
from nudge_sync.solve.problem import Rows
from nudge_sync.solve.relevance import look_up_judgements
from nudge_sync.solve.topk import find_top_k

MAX_DENSE_PAIRS = 200_000_000
"""Points times queries from which a step over all of them takes too long: some seconds."""
NEAREST_PER_QUERY = 128
PAIRS_PER_CHUNK = 1 << 14
"""Pairs scored at once: two gathers of 25 MB at 384 dimensions."""


@dataclass(frozen=True)
class NearPairs:
    """The pairs that count, by query."""

    query: Rows
    point: Rows
    starts: Rows
    """(q + 1,): where each query's pairs start."""
    positive_weights: NDArray[np.float64]
    """(pairs,): y; 0 where the point does not answer."""
    negative_weights: NDArray[np.float64]


def find_near_pairs(
    queries: Float32, vectors: Float32, positive: csr_matrix, negative: csr_matrix | None
) -> NearPairs:
    """The nearest points of each query, and those it judges.  vectors: (n, d), as scored."""
    nearest = find_top_k(queries, vectors, NEAREST_PER_QUERY, similarity="dot").rows
    near_query, rank = np.nonzero(nearest >= 0)
    shape = positive.shape
    pattern = csr_matrix(
        (np.ones(len(near_query)), (near_query, nearest[near_query, rank])), shape=shape
    )
    for judgements in (positive, negative):
        if judgements is not None:
            pattern = csr_matrix(pattern + abs(judgements))
    pattern.sort_indices()
    query = np.repeat(np.arange(shape[0]), np.diff(pattern.indptr))
    point = pattern.indices.astype(np.int64)
    negative_weights = (
        np.zeros(len(query)) if negative is None else look_up_judgements(negative, query, point)
    )
    positive_weights = look_up_judgements(positive, query, point)
    return NearPairs(
        query, point, pattern.indptr.astype(np.int64), positive_weights, negative_weights
    )


def sum_responsibilities(
    vectors: Float32, queries: Float32, pairs: NearPairs, unjudged_scores: Float32, tau: float
) -> tuple[Float32, Float32]:
    """The queries that each point takes, summed, (n, d), and how many, (n,).

    vectors: (n, d), as scored.
    """

    def score(part: slice) -> Float32:
        point_vectors, query_vectors = vectors[pairs.point[part]], queries[pairs.query[part]]
        return np.asarray(np.einsum("ij,ij->i", point_vectors, query_vectors), np.float32)

    scores = np.concatenate(map_in_threads(score, list_chunks(len(pairs.query), PAIRS_PER_CHUNK)))
    shares = _compute_shares(scores.astype(np.float64), pairs, unjudged_scores, tau)
    share_matrix = csr_matrix(
        (shares.astype(np.float32), pairs.point, pairs.starts), shape=(len(queries), len(vectors))
    )
    mass = np.bincount(pairs.point, shares, minlength=len(vectors))
    return np.asarray(share_matrix.T @ queries, np.float32), mass.astype(np.float32)


def _compute_shares(
    scores: NDArray[np.float64], pairs: NearPairs, unjudged_scores: Float32, tau: float
) -> NDArray[np.float64]:
    count = len(pairs.starts) - 1
    top = np.maximum.reduceat(scores, pairs.starts[:-1])
    top = np.maximum(top, unjudged_scores.max(axis=1, initial=-np.inf))
    odds = np.exp(np.maximum(tau * (scores - top[pairs.query]), -80.0))
    beside = np.exp(np.maximum(tau * (unjudged_scores.astype(np.float64) - top[:, None]), -80.0))
    answers = pairs.positive_weights > 0
    others = np.bincount(pairs.query, np.where(answers, 0.0, odds), minlength=count)
    others += beside.sum(axis=1)
    total = odds + others[pairs.query]
    share_of_others = np.bincount(pairs.query, pairs.positive_weights / total, minlength=count)[
        pairs.query
    ]
    shares = np.where(answers, pairs.positive_weights * odds / total, odds * share_of_others)
    pushes = np.where(answers, 0.0, odds / others[pairs.query])
    total_shares: NDArray[np.float64] = shares + pairs.negative_weights * pushes
    return total_shares
