"""The queries and judgements of NUDGE-C, in the form that its gradient needs (see `nudge_c`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity, vstack

from nudge_sync.base.arrays import Float32
from nudge_sync.solve.geometry import unit
from nudge_sync.solve.problem import Similarity
from nudge_sync.solve.softmax.joint_scores import join_scores

NO_WEIGHT = 1e-6
"""Weight of an answer that is not to be pulled: so small that it makes no difference."""


@dataclass(frozen=True)
class NudgeCInputs:
    """Queries and judgements, in the form that the gradient needs."""

    queries: Float32
    """(q, d), unit rows."""
    positive_weights: csr_matrix
    """(q, n): y_ij; a row sums to the square root of the query's total weight."""
    negative_weights: csr_matrix | None
    """(q, n): v_ij, how strongly each query rejects each point; None if no query rejects any."""
    movable: NDArray[np.bool_]
    """(n,): the points that these queries judge; the others compete in the softmax but stay."""
    unjudged_scores: Float32
    """(q, k): scores of the best points outside the n, -inf where there are fewer."""
    cold_weights: Float32 | None = None
    """(q,): mu y_i, the weight of an answer among the unjudged points; None for no such answers."""
    co_relevance: csr_matrix | None = None
    """(n, n): the weights w with which points ask for others, as queries; None if none does."""


def build_nudge_c_inputs(
    queries: Float32,
    attraction: csr_matrix,
    rejection: csr_matrix,
    unjudged_scores: Float32,
    co_relevance: csr_matrix | None = None,
) -> NudgeCInputs:
    """Scale the judgements for the objective.

    queries: (q, d), unit rows.  attraction, rejection: (q, n), not negative.
    unjudged_scores: (q, k).  co_relevance: (n, n), not negative.
    """
    positive = _weigh_answers(attraction)
    negative = rejection.astype(np.float32) if rejection.nnz else None
    movable = np.zeros(attraction.shape[1], np.bool_)
    movable[attraction.indices] = True
    movable[rejection.indices] = True
    return NudgeCInputs(
        queries, positive, negative, movable, unjudged_scores, co_relevance=co_relevance
    )


def _weigh_answers(attraction: csr_matrix) -> csr_matrix:
    """Return y_ij of the weights w_ij: (q, n), float32."""
    total = np.asarray(attraction.sum(axis=1), np.float64).ravel()
    share = np.where(total > 0, 1 / np.sqrt(np.where(total > 0, total, 1.0)), 0.0)
    return csr_matrix(attraction.multiply(share[:, None]), dtype=np.float32)


def expect_cold_answers(
    points: Float32, inputs: NudgeCInputs, tau: float, cold_answers: float, similarity: Similarity
) -> NudgeCInputs:
    """Leave the points that stay out, and let each query have an answer among them.

    Their e_ij never change: a query's sum over them and the unjudged points, E_i, is kept as the
    score of a single unjudged point, ln(E_i) / tau. Queries without judgements are left out.
    points: (n, d), any length.  cold_answers: the weight mu.
    """
    is_judged = np.diff(inputs.positive_weights.indptr) > 0
    if inputs.negative_weights is not None:
        is_judged |= np.diff(inputs.negative_weights.indptr) > 0
    asked = np.flatnonzero(is_judged)
    queries, positive = inputs.queries[asked], inputs.positive_weights[asked]
    vectors = points[~inputs.movable]
    if similarity == "cosine":
        vectors = unit(vectors).astype(np.float32)
    joint_scores = join_scores(queries, vectors, inputs.unjudged_scores[asked], tau)
    totals = np.asarray(positive.sum(axis=1), np.float64).ravel()
    weights = np.where(np.isfinite(joint_scores), cold_answers * totals, 0.0)
    negative, co_relevance = inputs.negative_weights, inputs.co_relevance
    return NudgeCInputs(
        queries,
        positive[:, inputs.movable],
        None if negative is None else negative[asked][:, inputs.movable],
        np.ones(int(inputs.movable.sum()), np.bool_),
        joint_scores[:, None],
        weights.astype(np.float32),
        None if co_relevance is None else co_relevance[inputs.movable][:, inputs.movable],
    )


def let_points_ask(original: Float32, inputs: NudgeCInputs) -> NudgeCInputs:
    """Add the points that ask for others to the queries.  original: (n, d), unit rows."""
    weights = inputs.co_relevance
    if weights is None:
        return inputs
    asking = np.flatnonzero(np.diff(weights.indptr))
    # A point that is among its own answers is no rival to the others.
    itself = identity(len(original), np.float32, "csr")[asking] * NO_WEIGHT
    negative, cold_weights = inputs.negative_weights, inputs.cold_weights
    rivals = np.full((len(asking), inputs.unjudged_scores.shape[1]), -np.inf, np.float32)
    return NudgeCInputs(
        np.concatenate([inputs.queries, original[asking]]),
        csr_matrix(vstack([inputs.positive_weights, _weigh_answers(weights[asking]) + itself])),
        None if negative is None else csr_matrix(vstack([negative, csr_matrix(itself.shape)])),
        inputs.movable,
        np.concatenate([inputs.unjudged_scores, rivals]),
        None
        if cold_weights is None
        else np.concatenate([cold_weights, np.zeros(len(asking), np.float32)]),
    )
