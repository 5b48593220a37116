"""NUDGE-C: contrastive nudging. A point turns towards its own queries and away from others'.

The vectors x' are the most probable ones under two assumptions. A query q_i picks each of its
answers j among that answer and all points that are not answers, by a softmax of the scores with
sharpness tau. And each x_j' is drawn from a von Mises-Fisher distribution around its original x_j,
as concentrated as `prior` queries pulling there, so that one click moves a point less than a
thousand do. With A_i the answers of query i, e_ij = exp(tau q_i . x_j') and
R_i = sum_{l not in A_i} e_il (unjudged points included), the objective is

    L = sum_i sum_{j in A_i} y_ij log( e_ij / (e_ij + R_i) ) + prior tau sum_j x_j . x_j'

over unit vectors x_j' no further than the angle `cap` from x_j. Its gradient is

    dL/dx_j' = tau sum_i (y_ij - r_ij) q_i + prior tau x_j,

    r_ij = y_ij e_ij / (e_ij + R_i)                       where j answers i,
    r_ij = e_ij sum_{a in A_i} y_ia / (e_ia + R_i)        where it does not,

r_ij being the responsibility of point j for query i: what the query finds in it so far. A rejection
of weight v_ij adds v_ij e_ij / R_i to r_ij, the gradient of -v_ij log R_i for that point alone.
y_ij = w_ij / sqrt(sum_j w_ij): a query with m answers weighs sqrt(m), which lies between "each
query counts once" and "each judgement counts once". Answers of one query do not compete: with them
in R_i, NFCorpus loses 2 points of NDCG@10.

Points that no training query judges stay, and no label can object if judged points rise above them
all. Where cold answers count, each query is therefore taken to have, with the weight mu
(`cold_answers`), one more answer among those points, in competition with all that do not answer it.
With E_i = sum of e_il over the points l that stay, this adds to the objective

    mu sum_i y_i log( E_i / R_i ),   y_i = sum_j y_ij,

and mu y_i e_ij / R_i to r_ij where j moves and does not answer i: a point that rises for queries
that it does not answer is pushed back. Not published elsewhere, as far as is known.

On a dot-product collection points keep their lengths |x_j|, and x_j, x_j' are their directions.
Scores and originals then count in proportion to the lengths: e_ij = exp(tau |x_j| q_i . x_j'), and
the last term of L is prior tau sum_j |x_j| x_j . x_j'. A collection ten times as long, at a tenth
of tau, turns alike.

Where queries have several answers, each of these asks for others as a query would, with the weight
`co_relevance` among them (see `nudge_sync.solve.co_relevance`): one more row of w for each point,
with its original vector as the query. The point itself is no rival in it, nor is any unjudged
point: neither is asked for instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.solve.geometry import (
    MIN_LENGTH,
    find_score_unit,
    lengths,
    restore_unmoved,
    unit,
)
from nudge_sync.solve.nudge_c_inputs import NudgeCInputs, expect_cold_answers, let_points_ask
from nudge_sync.solve.problem import Similarity
from nudge_sync.solve.softmax.cells import PointCells, build_cells, update_cells
from nudge_sync.solve.softmax.dense import cut_blocks, sum_all_responsibilities
from nudge_sync.solve.softmax.sampled import Competition, sum_cell_responsibilities

CURVATURE_SHARE = 0.125
"""Share of a point's responsibility mass that bounds the curvature in practice: 1/4 holds for any
softmax, and queries of one point spread over many directions."""
MAX_CURVATURE_RATIO = 10.0
"""By how much a measured curvature may differ from the bound."""
MIN_MEAN_STEP = 0.005
"""Mean step of the points that can move, in radians, below which the ascent ends: it changes no
ranking to speak of."""
MIN_MOVE = 1e-5
"""Moves shorter than this are float32 rounding."""
SHARPNESS_PER_DEVIATION = 1.8
"""The softmax's sharpness, times the standard deviation of the scores."""
MIN_DEVIATION = 0.01
"""Least standard deviation of scores assumed, in score units: a single point has none."""
MAX_DENSE_PAIRS = 200_000_000
"""Most pairs of a point and a query for which all are scored: a step over more takes seconds."""
SAMPLED_QUERIES, SAMPLED_POINTS = 512, 2048
"""Sizes of the samples that estimate the deviation."""


@dataclass(frozen=True)
class NudgeCSettings:
    """The settings of NUDGE-C."""

    tau: float
    """Sharpness tau of the softmax, per unit of score."""
    prior: float = 1.0
    """Strength of the original vector, in queries that pull towards it."""
    cap: float = np.pi / 3
    """Largest angle between a point and its original, in radians."""
    iterations: int = 10
    """Number of gradient steps at most."""
    cold_answers: float = 0.0
    """Weight mu, per judged answer, of an unknown answer among the points without judgements."""


def contrast(
    points: Float32,
    inputs: NudgeCInputs,
    settings: NudgeCSettings,
    similarity: Similarity = "cosine",
) -> Float32:
    """Maximise the objective from the original points: (n, d), each row as long as before.

    points: (n, d), any length.  Points that nothing pulls or pushes come back bit for bit.
    """
    if settings.cold_answers == 0:
        return _climb(points, inputs, settings, similarity)
    movable = np.flatnonzero(inputs.movable)
    result = points.copy()
    result[movable] = _climb(
        points[movable],
        expect_cold_answers(points, inputs, settings.tau, settings.cold_answers, similarity),
        settings,
        similarity,
    )
    return result


def _climb(
    points: Float32, inputs: NudgeCInputs, settings: NudgeCSettings, similarity: Similarity
) -> Float32:
    """Take the gradient steps from the original points: (n, d), each row as long as before."""
    original = unit(points).astype(np.float32)
    movable = inputs.movable & (lengths(original) > MIN_LENGTH)
    if not movable.any():
        return points.copy()
    norms = lengths(points).astype(np.float32) if similarity == "dot" else None
    inputs = let_points_ask(original, inputs)
    attracting_sum = np.asarray(inputs.positive_weights.T @ inputs.queries)
    responsibilities = _prepare_responsibilities(inputs, norms, settings.tau)
    current, previous = original, None
    for _ in range(settings.iterations):
        responsibility_sum, mass = responsibilities(current)
        ascent = _compute_ascent(
            original, current, norms, attracting_sum - responsibility_sum, mass, settings
        )
        curvature = _estimate_curvature(ascent, previous)
        # A point without a length has no curvature, and stays.
        divisor = np.where(movable, curvature, 1)[:, None]
        step = np.where(movable[:, None], ascent.gradient / divisor, 0)
        previous, current = ascent, _project_to_cap(current + step, original, settings.cap)
        if lengths(current - previous.vectors)[movable].mean() < MIN_MEAN_STEP:
            break
    return _restore_lengths(points, original, current)


def _prepare_responsibilities(
    inputs: NudgeCInputs, norms: Float32 | None, tau: float
) -> Callable[[Float32], tuple[Float32, Float32]]:
    """Return what gives sum_i r_ij q_i, (n, d), and sum_i r_ij, (n,), of points at (n, d).

    norms: (n,), the lengths that scale scores on a dot-product collection. Where all pairs are too
    many, the sums are estimated, with cells that are brought up to date each time they are asked.
    """
    asked = (
        inputs.queries,
        inputs.positive_weights,
        inputs.negative_weights,
        inputs.unjudged_scores,
        inputs.cold_weights,
    )
    if np.prod(inputs.positive_weights.shape, dtype=np.int64) <= MAX_DENSE_PAIRS:
        blocks = cut_blocks(*asked)
        return lambda vectors: sum_all_responsibilities(vectors, norms, blocks, tau)
    competition = Competition(*asked)
    cells: PointCells | None = None

    def estimate(vectors: Float32) -> tuple[Float32, Float32]:
        nonlocal cells
        scored = vectors if norms is None else vectors * norms[:, None]
        cells = build_cells(scored) if cells is None else update_cells(scored, cells)
        return sum_cell_responsibilities(scored, competition, cells, tau)

    return estimate


@dataclass(frozen=True, slots=True)
class _Ascent:
    """Where the points are, and which way the objective rises from there."""

    vectors: Float32
    """(n, d), unit rows."""
    gradient: Float32
    """(n, d), along the sphere."""
    curvature_bound: Float32
    """(n,): prior tau + tau^2 CURVATURE_SHARE m_j, with m_j = sum_i r_ij; on a dot-product
    collection tau counts times the point's length."""


def _compute_ascent(
    original: Float32,
    vectors: Float32,
    norms: Float32 | None,
    pull: Float32,
    mass: Float32,
    settings: NudgeCSettings,
) -> _Ascent:
    """Compute the gradient at `vectors`, (n, d), and a bound of the curvature.

    norms: (n,), the lengths that scale scores on a dot-product collection.
    pull: (n, d), sum_i (y_ij - r_ij) q_i.  mass: (n,), m_j.
    """
    prior_weight = settings.prior * settings.tau
    gradient = settings.tau * pull + prior_weight * (original - vectors)
    curvature = settings.tau**2 * CURVATURE_SHARE * mass
    bound = prior_weight + curvature
    if norms is not None:
        gradient, bound = gradient * norms[:, None], (prior_weight + curvature * norms) * norms
    gradient -= np.einsum("ij,ij->i", gradient, vectors)[:, None] * vectors
    return _Ascent(vectors, np.asarray(gradient, np.float32), np.asarray(bound, np.float32))


def _estimate_curvature(ascent: _Ascent, previous: _Ascent | None) -> Float32:
    """Return the curvature by which each row's step is its gradient divided: (n,).

    That is the bound in the first step, and then the change of the gradient over the change of the
    row, |g - g'| / |x - x'|: the geometric mean of the two step sizes of Barzilai and Borwein (IMA
    Journal of Numerical Analysis 8, 1988), within a factor of ten of the bound.
    """
    bound = ascent.curvature_bound
    if previous is None:
        return bound
    move = lengths(ascent.vectors - previous.vectors)
    change = lengths(ascent.gradient - previous.gradient)
    has_moved = move > MIN_MOVE
    measured = change / np.where(has_moved, move, 1.0)
    kept = np.clip(measured, bound / MAX_CURVATURE_RATIO, bound * MAX_CURVATURE_RATIO)
    return np.where(has_moved, kept, bound).astype(np.float32)


def _project_to_cap(vectors: Float32, original: Float32, cap: float) -> Float32:
    """Scale rows to length 1, and turn those further than `cap` from their original back to it."""
    length = lengths(vectors).astype(np.float32)
    vectors = np.asarray(vectors / np.where(length > MIN_LENGTH, length, 1)[:, None], np.float32)
    cosine = np.einsum("ij,ij->i", vectors, original)
    outside = np.flatnonzero(cosine < np.cos(cap))
    tangent = unit(vectors[outside] - cosine[outside, None] * original[outside])
    vectors[outside] = np.cos(cap) * original[outside] + np.sin(cap) * tangent
    return vectors


def _restore_lengths(points: Float32, original: Float32, vectors: Float32) -> Float32:
    """Scale unit rows to the points' lengths; rows that did not move come back bit for bit."""
    moves = lengths(vectors - original) > MIN_MOVE
    return restore_unmoved(points, lengths(points)[:, None] * unit(vectors), moves)


def estimate_sharpness(queries: Float32, points: Float32, similarity: Similarity) -> float:
    """Return a softmax sharpness that fits the spread of the scores: 1.8 over their deviation.

    queries: (q, d), unit rows.  points: (n, d).  The standard deviation of scores is taken per
    query and averaged. Models differ in how much of the cosine's range they use; on MiniLM
    embeddings this gives 16 to 22. Scores by dot product are taken in units of the points' length.
    """
    if len(queries) == 0 or len(points) == 0:
        return SHARPNESS_PER_DEVIATION / MIN_DEVIATION
    sample_queries = queries[:: max(1, len(queries) // SAMPLED_QUERIES)]
    sample_points = points[:: max(1, len(points) // SAMPLED_POINTS)]
    vectors, score_unit = sample_points, find_score_unit(lengths(sample_points))
    if similarity == "cosine":
        vectors, score_unit = unit(sample_points).astype(np.float32), 1.0
    deviation = float((sample_queries @ vectors.T).std(axis=1, dtype=np.float64).mean())
    sharpness = SHARPNESS_PER_DEVIATION / max(deviation / score_unit, MIN_DEVIATION)
    # Two decimals, or three significant digits where these are more.
    decimals = max(2, 2 - math.floor(math.log10(sharpness)))
    return round(sharpness, decimals) / score_unit
