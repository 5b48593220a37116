from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from nudge_sync.solve.geometry import lengths, unit
from nudge_sync.solve.nudge_c import NudgeCSettings, build_nudge_c_inputs, contrast


def make_problem(seed, n=30, q=40, d=8):
    random = np.random.default_rng(seed)
    points = unit(random.normal(size=(n, d))).astype(np.float32)
    queries = unit(random.normal(size=(q, d))).astype(np.float32)
    grades = random.integers(-1, 2, size=(q, n)) * (random.random((q, n)) < 0.1)
    rivals = -np.sort(random.uniform(-1, 1, size=(q, 5)), axis=1).astype(np.float32)
    return points, queries, grades, rivals


def climb(points, queries, grades, rivals, settings=None, **more):
    attraction = csr_matrix((grades > 0).astype(float))
    rejection = csr_matrix((grades < 0).astype(float))
    given_all = build_nudge_c_inputs(queries, attraction, rejection, rivals)
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
    points, queries, grades, rivals = make_problem(seed)
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
    points, queries, grades, rivals = make_problem(1)
    grades = np.zeros_like(grades)
    best = int(np.argmax(points @ queries[0]))
    grades[0, best] = -1
    moved = climb(points, queries, grades, rivals)
    assert moved[best] @ queries[0] < points[best] @ queries[0] - 1e-3
    others = np.arange(len(points)) != best
    assert moved[others].tobytes() == points[others].tobytes()


def test_a_query_without_any_judgement_changes_nothing():
    points, queries, grades, rivals = make_problem(2)
    more = np.vstack([grades, np.zeros((1, len(points)))])
    with_silent = climb(
        points, np.vstack([queries, queries[:1]]), more, np.vstack([rivals, rivals[:1]])
    )
    np.testing.assert_allclose(with_silent, climb(points, queries, grades, rivals), atol=1e-5)


def test_the_likelihood_rises():
    points, queries, grades, rivals = make_problem(3)
    grades = np.maximum(grades, 0)
    moved = climb(points, queries, grades, rivals, NudgeCSettings(20.0, prior=0.1))
    wins = [(np.argmax(queries @ vectors.T, axis=1), vectors) for vectors in (points, moved)]
    asked = grades.any(axis=1)
    before, after = (grades[np.arange(len(grades)), top][asked].mean() for top, _ in wins)
    assert after > before


@pytest.mark.parametrize("zero", [True, False])
def test_zero_vectors_stay(zero):
    points, queries, grades, rivals = make_problem(4)
    points[3] = 0 if zero else points[3]
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        moved = climb(points, queries, grades, rivals)
    assert np.isfinite(moved).all()
    assert not zero or (moved[3] == 0).all()


def test_looking_at_the_near_points_alone_comes_to_the_same(monkeypatch):
    points, queries, grades, rivals = make_problem(5, n=100, q=60)
    whole = climb(points, queries, grades, rivals)
    monkeypatch.setattr("nudge_sync.solve.nudge_c.MAX_DENSE_PAIRS", 0)
    np.testing.assert_allclose(climb(points, queries, grades, rivals), whole, atol=1e-4)
    monkeypatch.setattr("nudge_sync.solve.sparse_softmax.NEAREST_PER_QUERY", 60)
    few = climb(points, queries, grades, rivals)
    assert np.einsum("ij,ij->i", few, whole).mean() > 0.99
