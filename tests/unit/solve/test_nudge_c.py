"""NUDGE-C raises the likelihood of the judgements, within its cap and at kept lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from nudge_sync.solve.co_relevance import find_co_relevant_points
from nudge_sync.solve.geometry import lengths, unit
from nudge_sync.solve.nudge_c import NudgeCSettings, contrast, estimate_sharpness
from nudge_sync.solve.nudge_c_inputs import build_nudge_c_inputs
from tests.support.solver_problems import make_contrast_problem, make_gap_problem


def climb(points, queries, grades, rivals, settings=None, co_relevance=None, **more):
    attraction = csr_matrix((grades > 0).astype(float))
    rejection = csr_matrix((grades < 0).astype(float))
    given_all = build_nudge_c_inputs(queries, attraction, rejection, rivals, co_relevance)
    return contrast(points, given_all, settings or NudgeCSettings(20.0), **more)


def measure_angles(points, moved):
    return 2 * np.arcsin(np.clip(lengths(unit(points) - unit(moved)) / 2, 0, 1))


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 10_000),
    st.floats(0.05, 1.5),
    st.floats(1, 100),
    st.floats(0.05, 10),
    st.sampled_from(["cosine", "dot"]),
)
def test_nothing_leaves_the_cap_changes_length_or_moves_unjudged(seed, cap, tau, prior, similarity):
    points, queries, grades, rivals = make_contrast_problem(seed)
    points = (points * np.linspace(0.1, 3, len(points))[:, None]).astype(np.float32)
    kept = points.copy()
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        moved = climb(
            points, queries, grades, rivals, NudgeCSettings(tau, prior, cap), similarity=similarity
        )
    assert np.isfinite(moved).all()
    np.testing.assert_array_equal(points, kept)
    np.testing.assert_allclose(lengths(moved), lengths(points), rtol=1e-6)
    assert measure_angles(points, moved).max() <= cap + 1e-4
    free = (grades != 0).any(axis=0)
    assert moved[~free].tobytes() == points[~free].tobytes()


def test_more_queries_turn_a_point_further_than_one():
    random = np.random.default_rng(0)
    start = np.tile(unit(random.normal(size=(1, 16))), (2, 1)).astype(np.float32)
    direction = unit(random.normal(size=(1, 16)))
    start[1] = -start[0]
    goals = unit(start + 1.2 * direction)
    queries = np.concatenate([goals[:1], np.repeat(goals[1:], 50, axis=0)]).astype(np.float32)
    grades = np.zeros((51, 2))
    grades[0, 0] = grades[1:, 1] = 1
    rivals = np.full((51, 1), 0.9, np.float32)
    angles = measure_angles(start, climb(start, queries, grades, rivals))
    assert 0 < angles[0] < angles[1]


def test_a_negative_judgement_lowers_a_score_and_a_missing_one_does_not():
    points, queries, grades, rivals = make_contrast_problem(1)
    grades = np.zeros_like(grades)
    best = int(np.argmax(points @ queries[0]))
    grades[0, best] = -1
    moved = climb(points, queries, grades, rivals)
    assert moved[best] @ queries[0] < points[best] @ queries[0] - 1e-3
    others = np.arange(len(points)) != best
    assert moved[others].tobytes() == points[others].tobytes()


def test_a_query_without_any_judgement_changes_nothing():
    points, queries, grades, rivals = make_contrast_problem(2)
    more = np.vstack([grades, np.zeros((1, len(points)))])
    with_silent = climb(
        points, np.vstack([queries, queries[:1]]), more, np.vstack([rivals, rivals[:1]])
    )
    np.testing.assert_allclose(with_silent, climb(points, queries, grades, rivals), atol=1e-5)


def test_the_likelihood_rises():
    points, queries, grades, rivals = make_contrast_problem(3)
    grades = np.maximum(grades, 0)
    moved = climb(points, queries, grades, rivals, NudgeCSettings(20.0, prior=0.1))
    wins = [(np.argmax(queries @ vectors.T, axis=1), vectors) for vectors in (points, moved)]
    asked = grades.any(axis=1)
    before, after = (grades[np.arange(len(grades)), top][asked].mean() for top, _ in wins)
    assert after > before


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("zero", [True, False])
def test_zero_vectors_stay(zero, similarity):
    points, queries, grades, rivals = make_contrast_problem(4)
    points[3] = 0 if zero else points[3]
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        moved = climb(points, queries, grades, rivals, similarity=similarity)
    assert np.isfinite(moved).all()
    assert not zero or (moved[3] == 0).all()


@pytest.mark.parametrize("deviation", [0.05, 0.1, 0.2])
def test_the_sharpness_follows_the_spread_of_the_scores(deviation):
    random = np.random.default_rng(0)
    queries = np.eye(1, 2, dtype=np.float32)
    points = random.normal(scale=deviation, size=(2000, 2)).astype(np.float32)
    sharpness = estimate_sharpness(queries, points, "dot")
    assert sharpness == pytest.approx(1.8 / deviation, rel=0.05)
    assert estimate_sharpness(queries, points[:0], "dot") == pytest.approx(180)
    assert estimate_sharpness(queries, 0 * points, "dot") == pytest.approx(180)
    for scale in (2.0**-20, 2.0**20):
        rescaled = estimate_sharpness(queries, points * np.float32(scale), "dot")
        assert rescaled == sharpness / scale


def test_the_sharpness_of_few_long_points_among_short_ones_keeps_three_digits():
    points = np.zeros((1000, 2), np.float32)
    points[:, 0], points[0, 0] = 1e-3, 1e3
    sharpness = estimate_sharpness(np.eye(1, 2, dtype=np.float32), points, "dot")
    assert sharpness == pytest.approx(1.8 / points[:, 0].std(), rel=5e-3)


@dataclass(frozen=True)
class Objective:
    """The objective of `nudge_c` as its docstring writes it, without rejections."""

    queries: np.ndarray
    grades: np.ndarray
    rivals: np.ndarray
    settings: NudgeCSettings
    original: np.ndarray
    co_relevance: np.ndarray | None = None
    lengths: np.ndarray | float = 1.0

    def evaluate(self, vectors):
        tau = self.settings.tau
        weights = self.grades / np.sqrt(np.maximum(self.grades.sum(axis=1, keepdims=True), 1))
        stays = ~self.grades.any(axis=0)
        odds = np.exp(tau * self.queries.astype(float) @ vectors.T * self.lengths)
        unjudged = np.exp(tau * self.rivals.astype(float)).sum(axis=1)
        others = (odds * (self.grades == 0)).sum(axis=1) + unjudged
        cold_share = (odds[:, stays].sum(axis=1) + unjudged) / others
        warm = (weights * np.log(odds / (odds + others[:, None]))).sum()
        cold = (weights.sum(axis=1) * np.log(cold_share)).sum()
        cosines = (vectors * self.original).sum(axis=1)
        near = self.settings.prior * tau * (self.lengths * cosines).sum()
        return warm + self.settings.cold_answers * cold + near + self.let_points_ask(vectors)

    def let_points_ask(self, vectors):
        """What the points add that ask for others: no point that nobody judges is a rival."""
        if self.co_relevance is None:
            return 0.0
        rivals = self.grades.any(axis=0) | (self.settings.cold_answers == 0)
        total = 0.0
        for point, weights in enumerate(self.co_relevance):
            if not weights.any():
                continue
            scores = self.lengths * (vectors @ self.original[point].astype(float))
            odds = np.exp(self.settings.tau * scores)
            others = [row for row in np.flatnonzero(rivals) if row != point and not weights[row]]
            shares = weights / np.sqrt(weights.sum())
            total += (shares * np.log(odds / (odds + odds[others].sum()))).sum()
        return total


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("cold_answers", [0, 0.7])
def test_the_first_step_goes_along_the_gradient_of_the_objective(cold_answers, asks):
    points, queries, grades, rivals = make_contrast_problem(6)
    grades = np.maximum(grades, 0)
    grades[:, :7] = 0
    # The prior's own gradient is zero where a point is its original; it makes the step short.
    one_step = NudgeCSettings(6.0, prior=100, iterations=1, cold_answers=cold_answers)
    shares = 3 * find_co_relevant_points(csr_matrix(grades > 0, dtype=float)) if asks else None
    asking = shares.toarray() if asks else None
    objective = Objective(queries, grades, rivals, one_step, points, asking)
    moved = climb(points, queries, grades, rivals, one_step, shares)
    without = climb(points, queries, grades, rivals, one_step)
    assert (np.abs(moved - without).max() > 1e-4) == asks
    for point in np.flatnonzero(grades.any(axis=0)):
        slope = []
        for offset in 1e-6 * np.eye(points.shape[1]):
            above, below = points.astype(float), points.astype(float)
            above[point] += offset
            below[point] -= offset
            slope.append((objective.evaluate(above) - objective.evaluate(below)) / 2e-6)
        tangent = np.array(slope) - points[point] * (points[point] @ np.array(slope))
        step = moved[point].astype(float) - points[point]
        assert step @ tangent > 0.999 * np.linalg.norm(step) * np.linalg.norm(tangent) > 0


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("cold_answers", [0, 0.35, 3])
def test_the_ascent_comes_near_what_a_general_optimizer_finds(cold_answers, similarity):
    points, queries, _, _ = make_gap_problem(own=0.0, gap=1.5, documents=40, d=8)
    settings = NudgeCSettings(7.0, cap=np.pi, cold_answers=cold_answers)
    vectors, grades = queries.vectors[:80], queries.relevance[:80].toarray()
    grades[:, 15:] = 0
    vectors, grades = vectors[grades.any(axis=1)], grades[grades.any(axis=1)]
    rivals = queries.unjudged[: len(vectors)].astype(np.float32)
    long = np.linspace(0.5, 2, len(points)) if similarity == "dot" else np.ones(len(points))
    objective = Objective(vectors, grades, rivals, settings, points, lengths=long)
    moves = grades.any(axis=0)

    def place(flat):
        placed = points.astype(float)
        placed[moves] = unit(flat.reshape(-1, points.shape[1]))
        return placed

    best = minimize(lambda flat: -objective.evaluate(place(flat)), points[moves].ravel())
    start = objective.evaluate(points.astype(float))
    scaled = (points * long[:, None]).astype(np.float32)
    moved = climb(scaled, vectors, grades, rivals, settings, similarity=similarity)
    reached = objective.evaluate(unit(moved))
    assert reached - start > 0.95 * (-best.fun - start) > 0


def make_problem_with_unjudged_points(seed):
    """A contrast problem without rejections, whose first 10 points nobody judges."""
    points, queries, grades, rivals = make_contrast_problem(seed)
    grades = np.maximum(grades, 0)
    grades[:, :10] = 0
    grades[np.arange(20), np.arange(10, 30)] = 1
    return points, queries, grades, rivals


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_all_pairs_and_near_pairs_agree_where_cold_answers_count(similarity, asks, monkeypatch):
    problem = make_problem_with_unjudged_points(7)
    cold = NudgeCSettings(20.0, cold_answers=0.5)
    judged = csr_matrix(problem[2] > 0, dtype=float)
    shares = find_co_relevant_points(judged) if asks else None
    dense = climb(*problem, cold, shares, similarity=similarity)
    assert dense[:10].tobytes() == problem[0][:10].tobytes()
    assert np.abs(dense - climb(*problem, similarity=similarity)).max() > 1e-3
    monkeypatch.setattr("nudge_sync.solve.nudge_c.MAX_DENSE_PAIRS", 0)
    sparse = climb(*problem, cold, shares, similarity=similarity)
    np.testing.assert_allclose(sparse, dense, atol=1e-4)


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**-3, 2.0**6, 2.0**30])
@pytest.mark.parametrize("cold_answers", [0.0, 0.5])
@pytest.mark.parametrize("max_pairs", [0, 10**9])
def test_points_times_a_number_turn_alike_at_the_sharpness_over_it(
    scale, cold_answers, max_pairs, monkeypatch
):
    monkeypatch.setattr("nudge_sync.solve.nudge_c.MAX_DENSE_PAIRS", max_pairs)
    points, queries, grades, rivals = make_contrast_problem(5)
    points = (points * np.linspace(0.5, 2, len(points))[:, None]).astype(np.float32)
    shares = find_co_relevant_points(csr_matrix(grades > 0, dtype=float))
    moved, scaled = (
        climb(
            points * np.float32(factor),
            queries,
            grades,
            rivals * np.float32(factor),
            NudgeCSettings(20.0 / factor, prior=3.0, cold_answers=cold_answers),
            shares,
            similarity="dot",
        )
        for factor in (1.0, scale)
    )
    assert np.abs(moved - points).max() > 1e-2
    assert (moved * np.float32(scale)).tobytes() == scaled.tobytes()


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_points_that_stay_can_be_left_out_of_the_steps(similarity):
    points, queries, grades, rivals = make_problem_with_unjudged_points(7)
    points = (points * np.linspace(0.5, 2, len(points))[:, None]).astype(np.float32)
    almost_none = NudgeCSettings(20.0, cold_answers=1e-12)
    np.testing.assert_allclose(
        climb(points, queries, grades, rivals, almost_none, similarity=similarity),
        climb(points, queries, grades, rivals, similarity=similarity),
        atol=1e-4,
    )


def test_without_unjudged_points_there_are_no_cold_answers():
    points, queries, grades, rivals = make_problem_with_unjudged_points(7)
    judged = (points[10:], queries, grades[:, 10:], np.full_like(rivals, -np.inf))
    np.testing.assert_allclose(
        climb(*judged, NudgeCSettings(20.0, cold_answers=1.0)), climb(*judged), atol=1e-4
    )


def test_the_more_cold_answers_count_the_more_of_a_query_is_left_to_unjudged_points():
    points, queries, grades, rivals = make_problem_with_unjudged_points(8)
    shares = []
    for cold_answers in (0, 0.3, 3):
        cold = NudgeCSettings(20.0, cold_answers=cold_answers)
        odds = np.exp(20.0 * queries @ climb(points, queries, grades, rivals, cold).T)
        unjudged = odds[:, :10].sum(axis=1) + np.exp(20.0 * rivals).sum(axis=1)
        others = unjudged + (odds[:, 10:] * (grades[:, 10:] == 0)).sum(axis=1)
        shares.append(np.log(unjudged / others)[grades.any(axis=1)].mean())
    assert shares[0] < shares[1] < shares[2]


def test_a_query_without_any_judgement_has_no_cold_answer_either():
    points, queries, grades, rivals = make_problem_with_unjudged_points(2)
    more = np.vstack([grades, np.zeros((1, len(points)))])
    cold = NudgeCSettings(20.0, cold_answers=0.5)
    silent = climb(
        points, np.vstack([queries, queries[:1]]), more, np.vstack([rivals, rivals[:1]]), cold
    )
    np.testing.assert_allclose(silent, climb(points, queries, grades, rivals, cold), atol=1e-5)
