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

from nudge_sync.solve.line_search.paths import chunks
from nudge_sync.solve.nudge_n import TINY, keep_still, lengths, unit
from nudge_sync.solve.problem import Float32, Similarity
from nudge_sync.solve.sparse_softmax import MANY, Near, near, responsibility

QUERY_BLOCK, BLOCK = 512, 1 << 23
"""Queries, and scores, held at once: at most 32 MB of them."""
CURVATURE = 0.125
"""Share of a point's responsibility mass that bounds the curvature in practice: 1/4 holds for any
softmax, and queries of one point spread over many directions."""
REFRESH = 1
"""Steps after which the near points of each query are looked up again: others have moved in."""
STILL = 1e-5
"""Moves shorter than this are float32 rounding."""

NARROWEST = 0.01
"""Least deviation of scores that counts: a single point has none."""


@dataclass(frozen=True)
class Settings:
    """What NUDGE-C is told."""

    tau: float
    """Sharpness of the softmax, per unit of score."""
    prior: float = 1.0
    """How many queries one original weighs."""
    cap: float = np.pi / 3
    """Radians."""
    steps: int = 16


@dataclass(frozen=True)
class Evidence:
    """Queries and what they say, prepared for the climb."""

    queries: Float32
    """(q, d)"""
    positive: csr_matrix
    """(q, n): y, with sqrt(m) a query."""
    negative: csr_matrix | None
    """(q, n): how strongly each query rejects each point; None where no query does."""
    free: NDArray[np.bool_]
    """(n,): the points that these queries judge. The others take their share but stay."""
    rivals: Float32
    """(q, k): scores of points outside the n."""


def evidence(
    queries: Float32, attraction: csr_matrix, rejection: csr_matrix, rivals: Float32
) -> Evidence:
    """Judgements as the climb wants them; attraction and rejection are (q, n), not negative."""
    total = np.asarray(attraction.sum(axis=1), np.float64).ravel()
    share = np.where(total > 0, 1 / np.sqrt(np.where(total > 0, total, 1.0)), 0.0)
    positive = csr_matrix(attraction.multiply(share[:, None]), dtype=np.float32)
    negative = rejection.astype(np.float32) if rejection.nnz else None
    free = np.zeros(attraction.shape[1], np.bool_)
    free[attraction.indices] = True
    free[rejection.indices] = True
    return Evidence(queries, positive, negative, free, rivals)


def contrast(
    points: Float32, given: Evidence, settings: Settings, similarity: Similarity = "cosine"
) -> Float32:
    """The points after the climb: (n, d), each as long as before.

    points: (n, d), any length.  Points that nothing pulls or pushes come back bit for bit.
    """
    origin = unit(points).astype(np.float32)
    free = given.free & (lengths(origin) > TINY)
    size = lengths(points).astype(np.float32) if similarity == "dot" else None
    wanted = np.asarray(given.positive.T @ given.queries)
    pairs = None
    here, ahead, pace = origin, origin, 1.0
    for number in range(settings.steps):
        if number % REFRESH == 0:
            pairs = _pairs(ahead if size is None else ahead * size[:, None], given)
        step = _ascent(origin, ahead, size, wanted, given, pairs, settings)
        there = _inside(ahead + np.where(free[:, None], step, 0), origin, settings.cap)
        # Nesterov's momentum: the same place in about half the steps.
        pace, last = (1 + np.sqrt(1 + 4 * pace * pace)) / 2, pace
        ahead = _inside(
            there + np.float32((last - 1) / pace) * (there - here), origin, settings.cap
        )
        here = there
    return _settled(points, origin, here)


def _pairs(scored: Float32, given: Evidence) -> Near | None:
    if len(scored) * len(given.queries) <= MANY:
        return None
    return near(given.queries, scored, given.positive, given.negative)


def _ascent(
    origin: Float32,
    vectors: Float32,
    size: Float32 | None,
    wanted: Float32,
    given: Evidence,
    pairs: Near | None,
    settings: Settings,
) -> Float32:
    """The step of each row: the gradient along the sphere over a bound of the curvature."""
    if pairs is None:
        found, mass = _responsibility(vectors, size, given, settings.tau)
    else:
        scored = vectors if size is None else vectors * size[:, None]
        found, mass = responsibility(scored, given.queries, pairs, given.rivals, settings.tau)
    force = settings.tau * (wanted - found)
    bend = settings.tau**2 * CURVATURE * mass
    if size is not None:
        force, bend = force * size[:, None], bend * size**2
    hold = settings.prior * settings.tau
    force = force + hold * (origin - vectors)
    force -= np.einsum("ij,ij->i", force, vectors)[:, None] * vectors
    return np.asarray(force / (hold + bend)[:, None], np.float32)


def _responsibility(
    vectors: Float32, size: Float32 | None, given: Evidence, tau: float
) -> tuple[Float32, Float32]:
    """The queries that each point answers by its score, summed, (n, d), and how many, (n,)."""
    found, mass = np.zeros_like(vectors), np.zeros(len(vectors), np.float32)
    size_of_block = max(16, min(QUERY_BLOCK, BLOCK // max(1, len(vectors))))
    for rows in chunks(len(given.queries), size_of_block):
        scores = given.queries[rows] @ vectors.T
        if size is not None:
            scores *= size
        shares = _shares(scores, given, rows, tau)
        found += shares.T @ given.queries[rows]
        mass += shares.sum(axis=0)
    return found, mass


def _shares(scores: Float32, given: Evidence, rows: slice, tau: float) -> Float32:
    """How much of each query each point takes, in place of its `scores`: (queries, points)."""
    wanted, rivals = given.positive[rows], given.rivals[rows]
    query, point = wanted.nonzero()
    top = scores.max(axis=1, initial=-np.inf)
    top = np.maximum(top, rivals.max(axis=1, initial=-np.inf))[:, None]
    odds = _exponential(scores, top, tau)
    own = odds[query, point]
    odds[query, point] = 0.0
    others = odds.sum(axis=1) + _exponential(rivals.copy(), top, tau).sum(axis=1)
    push = _rejected(odds, others, given.negative[rows]) if given.negative is not None else None
    total = own + others[query]
    odds *= np.bincount(query, wanted.data / total, minlength=len(odds)).astype(np.float32)[:, None]
    odds[query, point] = wanted.data * own / total
    if push is not None:
        np.add.at(odds, push[:2], push[2])
    return odds


def _rejected(
    odds: Float32, others: Float32, negative: csr_matrix
) -> tuple[NDArray[np.int32], NDArray[np.int32], Float32]:
    """What points take of queries that reject them: queries, points, shares."""
    query, point = negative.nonzero()
    return query, point, (negative.data * odds[query, point] / others[query]).astype(np.float32)


def _exponential(scores: Float32, top: Float32, tau: float) -> Float32:
    scores -= top
    scores *= np.float32(tau)
    # exp(-80) is the smallest that no product below turns into a subnormal.
    np.maximum(scores, -80.0, out=scores)
    return np.exp(scores, out=scores)


def _inside(vectors: Float32, origin: Float32, cap: float) -> Float32:
    """Rows scaled to the sphere and turned back to `cap` where they are further than that."""
    length = lengths(vectors).astype(np.float32)
    vectors = np.asarray(vectors / np.where(length > TINY, length, 1)[:, None], np.float32)
    cosine = np.einsum("ij,ij->i", vectors, origin)
    out = np.flatnonzero(cosine < np.cos(cap))
    across = unit(vectors[out] - cosine[out, None] * origin[out])
    vectors[out] = np.cos(cap) * origin[out] + np.sin(cap) * across
    return vectors


def _settled(points: Float32, origin: Float32, vectors: Float32) -> Float32:
    """Unit in float64, as long as before, and bit for bit the input where nothing moved."""
    moves = lengths(vectors - origin) > STILL
    return keep_still(points, lengths(points)[:, None] * unit(vectors), moves)


def sharpness(queries: Float32, points: Float32, similarity: Similarity) -> float:
    """A softmax sharpness that fits how far scores spread: 1.8 over their deviation per query.

    Models differ in how much of the cosine's range they use. On MiniLM this is 16 to 22.
    """
    if len(queries) == 0 or len(points) == 0:
        return 1.8 / NARROWEST
    some = queries[:: max(1, len(queries) // 512)]
    others = points[:: max(1, len(points) // 2048)]
    vectors = unit(others).astype(np.float32) if similarity == "cosine" else others
    spread = float((some @ vectors.T).std(axis=1, dtype=np.float64).mean())
    return 1.8 / max(spread, NARROWEST)
