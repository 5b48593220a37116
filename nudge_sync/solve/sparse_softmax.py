"""The softmax of NUDGE-C over the points near each query, for collections too large for all pairs.

Each query competes over its nearest points and those it judges; they are looked up again as points
move. That costs a part of the gain (on NFCorpus, made to use it, 9.4 points of NDCG@10 where all
pairs give 12.5, and NUDGE-N 5), so it is used only where all pairs would take hours.
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
from nudge_sync.solve.topk import LOWEST_SCORE, find_top_k

MAX_DENSE_PAIRS = 200_000_000
"""Most pairs of a point and a query for which all are scored: a step over more takes seconds."""
NEAREST_PER_QUERY = 128
"""Nearest points that compete for each query."""
PAIRS_PER_CHUNK = 1 << 14
"""Pairs scored at once: two gathers of 25 MB at 384 dimensions."""
_JOINT_SCORES_PER_CHUNK = 1 << 20
"""Scores summed up at once by each thread: 16 MB of arrays."""
MIN_EXPONENT = -80.0
"""Lowest exponent taken: exp(-80) is small, and no product with it becomes a subnormal float32."""


@dataclass(frozen=True)
class NearPairs:
    """The pairs of a query and a point that compete, sorted by query."""

    query: Rows
    """(p,)"""
    point: Rows
    """(p,)"""
    starts: Rows
    """(q + 1,): the first pair of each query, and p."""
    positive_weights: NDArray[np.float64]
    """(p,): y_ij; 0 where the point does not answer the query."""
    negative_weights: NDArray[np.float64]
    """(p,): v_ij; 0 where the query does not reject the point."""


def find_near_pairs(
    queries: Float32, vectors: Float32, positive: csr_matrix, negative: csr_matrix | None
) -> NearPairs:
    """Find the nearest points of each query, and add those that it judges.

    queries: (q, d).  vectors: (n, d), scored by dot product.  positive, negative: (q, n).
    """
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
    vectors: Float32,
    queries: Float32,
    pairs: NearPairs,
    unjudged_scores: Float32,
    tau: float,
    cold_weights: Float32 | None = None,
) -> tuple[Float32, Float32]:
    """Return sum_i r_ij q_i, (n, d), and sum_i r_ij, (n,), over the given pairs.

    r_ij is the responsibility of point j for query i (see `nudge_c`).
    vectors: (n, d), scored by dot product.  unjudged_scores: (q, k).  tau: the sharpness.
    cold_weights: (q,), mu y_i, how much each query counts on an answer among the unjudged points.
    """

    def score(part: slice) -> Float32:
        point_vectors, query_vectors = vectors[pairs.point[part]], queries[pairs.query[part]]
        return np.asarray(np.einsum("ij,ij->i", point_vectors, query_vectors), np.float32)

    scores = np.concatenate(map_in_threads(score, list_chunks(len(pairs.query), PAIRS_PER_CHUNK)))
    shares = _compute_shares(scores.astype(np.float64), pairs, unjudged_scores, tau, cold_weights)
    share_matrix = csr_matrix(
        (shares.astype(np.float32), pairs.point, pairs.starts), shape=(len(queries), len(vectors))
    )
    mass = np.bincount(pairs.point, shares, minlength=len(vectors))
    return np.asarray(share_matrix.T @ queries, np.float32), mass.astype(np.float32)


def join_scores(
    queries: Float32, vectors: Float32, unjudged_scores: Float32, tau: float
) -> Float32:
    """Return the score s of one point that weighs in the softmax as much as all given ones: (q,).

    exp(tau s) = sum_j exp(tau s_j) over the products with `vectors`, (n, d), and over
    unjudged_scores, (q, k).  -inf for a query without any.
    """
    joint = np.full(len(queries), -np.inf, np.float32)
    size = max(1, _JOINT_SCORES_PER_CHUNK // max(1, len(vectors) + unjudged_scores.shape[1]))

    def join(rows: slice) -> None:
        scores = np.concatenate([queries[rows] @ vectors.T, unjudged_scores[rows]], axis=1)
        top = scores.max(axis=1, initial=LOWEST_SCORE)[:, None]
        odds = np.exp(np.maximum(tau * (scores - top), MIN_EXPONENT), dtype=np.float64)
        total = np.where(np.isneginf(scores), 0.0, odds).sum(axis=1)
        has_any = total > 0
        sharpened = np.log(np.where(has_any, total, 1.0)) / tau
        joint[rows] = np.where(has_any, top[:, 0] + sharpened, -np.inf)

    map_in_threads(join, list_chunks(len(queries), size))
    return joint


def _compute_shares(
    scores: NDArray[np.float64],
    pairs: NearPairs,
    unjudged_scores: Float32,
    tau: float,
    cold_weights: Float32 | None,
) -> NDArray[np.float64]:
    """Return the responsibility r_ij of each pair: (p,).  scores: (p,)."""
    count = len(pairs.starts) - 1
    top = np.maximum.reduceat(scores, pairs.starts[:-1])
    top = np.maximum(top, unjudged_scores.max(axis=1, initial=-np.inf))
    odds = np.exp(np.maximum(tau * (scores - top[pairs.query]), MIN_EXPONENT))
    unjudged_lead = unjudged_scores.astype(np.float64) - top[:, None]
    unjudged_odds = np.exp(np.maximum(tau * unjudged_lead, MIN_EXPONENT))
    answers = pairs.positive_weights > 0
    others = np.bincount(pairs.query, np.where(answers, 0.0, odds), minlength=count)
    others += unjudged_odds.sum(axis=1)
    total = odds + others[pairs.query]
    warm_pushes = np.bincount(pairs.query, pairs.positive_weights / total, minlength=count)
    cold_pushes = 0.0 if cold_weights is None else cold_weights / others
    share_of_others = (warm_pushes + cold_pushes)[pairs.query]
    shares = np.where(answers, pairs.positive_weights * odds / total, odds * share_of_others)
    pushes = np.where(answers, 0.0, odds / others[pairs.query])
    total_shares: NDArray[np.float64] = shares + pairs.negative_weights * pushes
    return total_shares
