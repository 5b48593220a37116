"""The softmax of NUDGE-C over all pairs of a query and a point, a block of queries at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32
from nudge_sync.base.chunks import list_chunks
from nudge_sync.solve.softmax.joint_scores import MIN_EXPONENT

_QUERIES_PER_BLOCK, _SCORES_PER_BLOCK = 512, 1 << 23
"""Queries, and scores, held at once: at most 32 MB of them."""
_MIN_QUERIES_PER_BLOCK = 16
"""Queries per block at least: with fewer a matrix product is no faster than single ones."""


@dataclass(frozen=True)
class QueryBlock:
    """A few queries with their judgements as pairs, which no step changes."""

    queries: Float32
    """(b, d), unit rows."""
    query: NDArray[Any]
    """(p,): the query of each answer."""
    point: NDArray[Any]
    """(p,): the point of each answer."""
    weight: Float32
    """(p,): y_ij of each answer."""
    negative_weights: csr_matrix | None
    """(b, n): v_ij; None if no query rejects any point."""
    unjudged_scores: Float32
    """(b, k): scores of the best points outside the n, -inf where there are fewer."""
    cold_weights: Float32 | None
    """(b,): mu y_i; None where no query has cold answers."""


def cut_blocks(
    queries: Float32,
    positive: csr_matrix,
    negative: csr_matrix | None,
    unjudged_scores: Float32,
    cold_weights: Float32 | None,
) -> list[QueryBlock]:
    """Cut the queries into blocks whose scores fit into memory.

    queries: (q, d).  positive, negative: (q, n).  unjudged_scores: (q, k).  cold_weights: (q,).
    """

    def cut(rows: slice) -> QueryBlock:
        answers = positive[rows]
        query, point = answers.nonzero()
        return QueryBlock(
            queries[rows],
            query,
            point,
            answers.data,
            None if negative is None else negative[rows],
            unjudged_scores[rows],
            None if cold_weights is None else cold_weights[rows],
        )

    count = max(1, positive.shape[1])
    size = max(_MIN_QUERIES_PER_BLOCK, min(_QUERIES_PER_BLOCK, _SCORES_PER_BLOCK // count))
    return [cut(rows) for rows in list_chunks(len(queries), size)]


def sum_all_responsibilities(
    vectors: Float32, norms: Float32 | None, blocks: list[QueryBlock], tau: float
) -> tuple[Float32, Float32]:
    """Return sum_i r_ij q_i, (n, d), and sum_i r_ij, (n,), over all pairs.

    r_ij is the responsibility of point j for query i (see `nudge_c`).
    vectors: (n, d), unit rows.  norms: (n,), the lengths that scale scores on a dot-product
    collection; None for cosine.  tau: the sharpness.
    """
    responsibility_sum, mass = np.zeros_like(vectors), np.zeros(len(vectors), np.float32)
    for block in blocks:
        scores = block.queries @ vectors.T
        if norms is not None:
            scores *= norms
        shares = _compute_shares(scores, block, tau)
        responsibility_sum += shares.T @ block.queries
        mass += shares.sum(axis=0)
    return responsibility_sum, mass


def _compute_shares(scores: Float32, block: QueryBlock, tau: float) -> Float32:
    """Return the responsibilities r_ij of a block of queries: (b, n). Overwrites `scores`."""
    unjudged_scores, query, point = block.unjudged_scores, block.query, block.point
    top = scores.max(axis=1, initial=-np.inf)
    top = np.maximum(top, unjudged_scores.max(axis=1, initial=-np.inf))[:, None]
    odds = _exponentiate(scores, top, tau)
    own = odds[query, point]
    odds[query, point] = 0.0
    others = odds.sum(axis=1) + _exponentiate(unjudged_scores.copy(), top, tau).sum(axis=1)
    rejected_shares = (
        _compute_rejected_shares(odds, others, block.negative_weights)
        if block.negative_weights is not None
        else None
    )
    total = own + others[query]
    pushes = np.bincount(query, block.weight / total, minlength=len(odds)).astype(np.float32)
    if block.cold_weights is not None:
        pushes += block.cold_weights / others
    odds *= pushes[:, None]
    odds[query, point] = block.weight * own / total
    if rejected_shares is not None:
        np.add.at(odds, rejected_shares[:2], rejected_shares[2])
    return odds


def _compute_rejected_shares(
    odds: Float32, others: Float32, negative: csr_matrix
) -> tuple[NDArray[np.int32], NDArray[np.int32], Float32]:
    """Return the responsibilities that rejections add: queries, points, v_ij e_ij / R_i."""
    query, point = negative.nonzero()
    return query, point, (negative.data * odds[query, point] / others[query]).astype(np.float32)


def _exponentiate(scores: Float32, top: Float32, tau: float) -> Float32:
    """Return exp(tau (scores - top)), written over `scores`; top: one score per row."""
    scores -= top
    scores *= np.float32(tau)
    np.maximum(scores, MIN_EXPONENT, out=scores)
    return np.exp(scores, out=scores)
