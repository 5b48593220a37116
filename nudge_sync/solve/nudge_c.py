"""NUDGE-C: points go where they answer their own queries and stop answering those of others.

The most probable vectors under two beliefs. A query picks each of its answers among that answer
and all points that are not answers, by a softmax of the scores, sharpness `tau`; so a point is
pulled by what its queries do not yet find in it, and pushed by what others find in it. And each
point is drawn from a von Mises-Fisher distribution around its original, as concentrated as
`prior` queries pulling there; so one click moves a point less than a thousand do. The maximum of

    sum_j sum_{i answers j} y_ij log( e_ij / (e_ij + sum_{l does not answer j} e_lj) )
        + prior tau sum_i x_i . x_i',        e_ij = exp(tau q_j . x_i')

is looked for over unit vectors no further than `cap` from their originals. A query with m answers
weighs sqrt(m), shared equally: between "each query counts once" and "each judgement counts once".
Answers of one query do not compete: with them in the sum, NFCorpus loses 2 points of NDCG@10.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32
from nudge_sync.base.chunks import list_chunks
from nudge_sync.solve.nudge_n import MIN_LENGTH, lengths, restore_unmoved, unit
from nudge_sync.solve.problem import Similarity
from nudge_sync.solve.sparse_softmax import (
    MAX_DENSE_PAIRS,
    NearPairs,
    find_near_pairs,
    sum_responsibilities,
)

_QUERIES_PER_BLOCK, _SCORES_PER_BLOCK = 512, 1 << 23
"""Queries, and scores, held at once: at most 32 MB of them."""
CURVATURE_SHARE = 0.125
"""Share of a point's responsibility mass that bounds the curvature in practice: 1/4 holds for any
softmax, and queries of one point spread over many directions."""
REFRESH = 1
"""Steps after which the near points of each query are looked up again: others have moved in."""
MIN_MOVE = 1e-5
"""Moves shorter than this are float32 rounding."""

MIN_DEVIATION = 0.01
"""Least deviation of scores that counts: a single point has none."""


@dataclass(frozen=True)
class NudgeCSettings:
    """What NUDGE-C is told."""

    tau: float
    """Sharpness of the softmax, per unit of score."""
    prior: float = 1.0
    """How many queries one original weighs."""
    cap: float = np.pi / 3
    """Radians."""
    iterations: int = 16


@dataclass(frozen=True)
class NudgeCInputs:
    """Queries and what they say, prepared for the climb."""

    queries: Float32
    """(q, d)"""
    positive_weights: csr_matrix
    """(q, n): y, with sqrt(m) a query."""
    negative_weights: csr_matrix | None
    """(q, n): how strongly each query rejects each point; None where no query does."""
    movable: NDArray[np.bool_]
    """(n,): the points that these queries judge. The others take their share but stay."""
    unjudged_scores: Float32
    """(q, k): scores of points outside the n."""


def build_nudge_c_inputs(
    queries: Float32, attraction: csr_matrix, rejection: csr_matrix, unjudged_scores: Float32
) -> NudgeCInputs:
    """Judgements as the climb wants them; attraction and rejection are (q, n), not negative."""
    total = np.asarray(attraction.sum(axis=1), np.float64).ravel()
    share = np.where(total > 0, 1 / np.sqrt(np.where(total > 0, total, 1.0)), 0.0)
    positive = csr_matrix(attraction.multiply(share[:, None]), dtype=np.float32)
    negative = rejection.astype(np.float32) if rejection.nnz else None
    movable = np.zeros(attraction.shape[1], np.bool_)
    movable[attraction.indices] = True
    movable[rejection.indices] = True
    return NudgeCInputs(queries, positive, negative, movable, unjudged_scores)


def contrast(
    points: Float32,
    inputs: NudgeCInputs,
    settings: NudgeCSettings,
    similarity: Similarity = "cosine",
) -> Float32:
    """The points after the climb: (n, d), each as long as before.

    points: (n, d), any length.  Points that nothing pulls or pushes come back bit for bit.
    """
    original = unit(points).astype(np.float32)
    movable = inputs.movable & (lengths(original) > MIN_LENGTH)
    norms = lengths(points).astype(np.float32) if similarity == "dot" else None
    attracting_sum = np.asarray(inputs.positive_weights.T @ inputs.queries)
    near_pairs = None
    current, lookahead, momentum = original, original, 1.0
    for iteration in range(settings.iterations):
        if iteration % REFRESH == 0:
            near_pairs = _find_near_pairs(
                lookahead if norms is None else lookahead * norms[:, None], inputs
            )
        update = _compute_update(
            original, lookahead, norms, attracting_sum, inputs, near_pairs, settings
        )
        updated = _project_to_cap(
            lookahead + np.where(movable[:, None], update, 0), original, settings.cap
        )
        # Nesterov's momentum: the same place in about half the steps.
        momentum, previous_momentum = (1 + np.sqrt(1 + 4 * momentum * momentum)) / 2, momentum
        lookahead = _project_to_cap(
            updated + np.float32((previous_momentum - 1) / momentum) * (updated - current),
            original,
            settings.cap,
        )
        current = updated
    return _restore_lengths(points, original, current)


def _find_near_pairs(scored: Float32, inputs: NudgeCInputs) -> NearPairs | None:
    if len(scored) * len(inputs.queries) <= MAX_DENSE_PAIRS:
        return None
    return find_near_pairs(inputs.queries, scored, inputs.positive_weights, inputs.negative_weights)


def _compute_update(
    original: Float32,
    vectors: Float32,
    norms: Float32 | None,
    attracting_sum: Float32,
    inputs: NudgeCInputs,
    near_pairs: NearPairs | None,
    settings: NudgeCSettings,
) -> Float32:
    """The step of each row: the gradient along the sphere over a bound of the curvature."""
    if near_pairs is None:
        responsibility_sum, mass = _sum_responsibilities(vectors, norms, inputs, settings.tau)
    else:
        scored = vectors if norms is None else vectors * norms[:, None]
        responsibility_sum, mass = sum_responsibilities(
            scored, inputs.queries, near_pairs, inputs.unjudged_scores, settings.tau
        )
    gradient = settings.tau * (attracting_sum - responsibility_sum)
    curvature = settings.tau**2 * CURVATURE_SHARE * mass
    if norms is not None:
        gradient, curvature = gradient * norms[:, None], curvature * norms**2
    prior_weight = settings.prior * settings.tau
    gradient = gradient + prior_weight * (original - vectors)
    gradient -= np.einsum("ij,ij->i", gradient, vectors)[:, None] * vectors
    return np.asarray(gradient / (prior_weight + curvature)[:, None], np.float32)


def _sum_responsibilities(
    vectors: Float32, norms: Float32 | None, inputs: NudgeCInputs, tau: float
) -> tuple[Float32, Float32]:
    """The queries that each point answers by its score, summed, (n, d), and how many, (n,)."""
    responsibility_sum, mass = np.zeros_like(vectors), np.zeros(len(vectors), np.float32)
    size_of_block = max(16, min(_QUERIES_PER_BLOCK, _SCORES_PER_BLOCK // max(1, len(vectors))))
    for rows in list_chunks(len(inputs.queries), size_of_block):
        scores = inputs.queries[rows] @ vectors.T
        if norms is not None:
            scores *= norms
        shares = _compute_shares(scores, inputs, rows, tau)
        responsibility_sum += shares.T @ inputs.queries[rows]
        mass += shares.sum(axis=0)
    return responsibility_sum, mass


def _compute_shares(scores: Float32, inputs: NudgeCInputs, rows: slice, tau: float) -> Float32:
    """How much of each query each point takes, in place of its `scores`: (queries, points)."""
    positive, unjudged_scores = inputs.positive_weights[rows], inputs.unjudged_scores[rows]
    query, point = positive.nonzero()
    top = scores.max(axis=1, initial=-np.inf)
    top = np.maximum(top, unjudged_scores.max(axis=1, initial=-np.inf))[:, None]
    odds = _exponentiate(scores, top, tau)
    own = odds[query, point]
    odds[query, point] = 0.0
    others = odds.sum(axis=1) + _exponentiate(unjudged_scores.copy(), top, tau).sum(axis=1)
    rejected_shares = (
        _compute_rejected_shares(odds, others, inputs.negative_weights[rows])
        if inputs.negative_weights is not None
        else None
    )
    total = own + others[query]
    odds *= np.bincount(query, positive.data / total, minlength=len(odds)).astype(np.float32)[
        :, None
    ]
    odds[query, point] = positive.data * own / total
    if rejected_shares is not None:
        np.add.at(odds, rejected_shares[:2], rejected_shares[2])
    return odds


def _compute_rejected_shares(
    odds: Float32, others: Float32, negative: csr_matrix
) -> tuple[NDArray[np.int32], NDArray[np.int32], Float32]:
    """What points take of queries that reject them: queries, points, shares."""
    query, point = negative.nonzero()
    return query, point, (negative.data * odds[query, point] / others[query]).astype(np.float32)


def _exponentiate(scores: Float32, top: Float32, tau: float) -> Float32:
    scores -= top
    scores *= np.float32(tau)
    # exp(-80) is the smallest that no product below turns into a subnormal.
    np.maximum(scores, -80.0, out=scores)
    return np.exp(scores, out=scores)


def _project_to_cap(vectors: Float32, original: Float32, cap: float) -> Float32:
    """Rows scaled to the sphere and turned back to `cap` where they are further than that."""
    length = lengths(vectors).astype(np.float32)
    vectors = np.asarray(vectors / np.where(length > MIN_LENGTH, length, 1)[:, None], np.float32)
    cosine = np.einsum("ij,ij->i", vectors, original)
    outside = np.flatnonzero(cosine < np.cos(cap))
    tangent = unit(vectors[outside] - cosine[outside, None] * original[outside])
    vectors[outside] = np.cos(cap) * original[outside] + np.sin(cap) * tangent
    return vectors


def _restore_lengths(points: Float32, original: Float32, vectors: Float32) -> Float32:
    """Unit in float64, as long as before, and bit for bit the input where nothing moved."""
    moves = lengths(vectors - original) > MIN_MOVE
    return restore_unmoved(points, lengths(points)[:, None] * unit(vectors), moves)


def estimate_sharpness(queries: Float32, points: Float32, similarity: Similarity) -> float:
    """A softmax sharpness that fits how far scores spread: 1.8 over their deviation per query.

    Models differ in how much of the cosine's range they use. On MiniLM this is 16 to 22.
    """
    if len(queries) == 0 or len(points) == 0:
        return 1.8 / MIN_DEVIATION
    sample_queries = queries[:: max(1, len(queries) // 512)]
    sample_points = points[:: max(1, len(points) // 2048)]
    vectors = unit(sample_points).astype(np.float32) if similarity == "cosine" else sample_points
    deviation = float((sample_queries @ vectors.T).std(axis=1, dtype=np.float64).mean())
    return 1.8 / max(deviation, MIN_DEVIATION)
