"""The exact curves against a brute force that moves and scores everything again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from nudge_sync import metrics
from nudge_sync.solve.geometry import lengths, unit
from nudge_sync.solve.line_search.curves import build_curves
from nudge_sync.solve.line_search.paths import build_paths, compute_pulls, move_points
from nudge_sync.solve.line_search.step_function import build_step_function, roundest_number
from nudge_sync.solve.problem import JudgedQueries
from nudge_sync.solve.relevance import ideal_scores
from nudge_sync.solve.score import metric_values

NAMES = ["ndcg@10", "recall@10", "recall@1", "mrr@10", "ndcg@3", "mrr@2"]


def make_problem(seed, similarity):
    random = np.random.default_rng(seed)
    n, d, train_count, validation_count = random.integers(1, 50), random.integers(2, 12), 20, 15
    points = random.normal(size=(n, d)).astype(np.float32)
    if similarity == "cosine":
        points = unit(points).astype(np.float32)
    queries = unit(random.normal(size=(train_count + validation_count, d))).astype(np.float32)
    grades = random.integers(-1, 4, size=(len(queries), n)) * (
        random.random((len(queries), n)) < 0.2
    )
    grades[train_count:, random.integers(n)] = 1
    k = random.integers(0, 10)
    unjudged = np.full((validation_count, 10), -np.inf, np.float32)
    unjudged[:, :k] = -np.sort(-random.uniform(-1, 1, size=(validation_count, k)), axis=1)
    attraction = csr_matrix((grades[:train_count] > 0).astype(float))
    validation = JudgedQueries(
        queries[train_count:], csr_matrix(grades[train_count:].astype(float)), unjudged
    )
    return points, queries[:train_count], attraction, validation


def find_exact_steps(problem, name, way, similarity, limit):
    points, queries, attraction, validation = problem
    metric = metrics.parse_metric(name)
    point_paths = build_paths(
        points,
        compute_pulls(points, queries, attraction),
        method=way,
        similarity=similarity,
        limit=limit,
    )
    rising = build_curves(point_paths, validation, metric, limit)
    return build_step_function(rising, ideal_scores(validation.relevance, metric), metric, limit)


def score_by_brute_force(problem, name, way, similarity, angle):
    points, queries, attraction, validation = problem
    moved = move_points(points, compute_pulls(points, queries, attraction), method=way, angle=angle)
    return metric_values(moved, validation, name, similarity=similarity)


def has_no_ties(problem, way, similarity, angle):
    """(q,): whether no relevant point ties with another: two may have landed on one query."""
    points, queries, attraction, validation = problem
    moved = move_points(points, compute_pulls(points, queries, attraction), method=way, angle=angle)
    if similarity == "cosine":
        moved = unit(moved)
    scores, grades = validation.vectors @ moved.T, validation.relevance.toarray()
    tied = np.abs(scores[:, :, None] - scores[:, None, :]) < 1e-6
    return ~(tied & (grades[:, :, None] != grades[:, None, :])).any(axis=(1, 2))


def find_mismatches(problem, name, way, angles, wrong):
    """Those of the angles at which the mean is `wrong`, and no tie leaves it open."""
    return [
        angle
        for angle in angles
        if wrong(score_by_brute_force(problem, name, *way, angle).mean())
        and has_no_ties(problem, *way, angle).all()
    ]


@settings(max_examples=150, deadline=None)
@example(63088, "ndcg@10", ("nudge-n", "cosine"), 1.0)
@given(
    st.integers(0, 100_000),
    st.sampled_from(NAMES),
    st.sampled_from([("nudge-n", "cosine"), ("nudge-n", "dot"), ("nudge-m", "dot")]),
    st.floats(0.05, 1.4),
)
def test_steps_are_the_metric_at_every_angle(seed, name, way, limit):
    problem = make_problem(seed, way[1])
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        whole = find_exact_steps(problem, name, *way, limit)
        for angle in np.linspace(0, limit, 9):
            # Within rounding of a step both sides of it are right.
            near = np.abs(whole.angle - angle).min(initial=1)
            if near > 1e-5:
                found, expected = (
                    whole.evaluate(angle),
                    score_by_brute_force(problem, name, *way, angle),
                )
                same = np.isclose(found, expected, rtol=0, atol=1e-9)
                assert same.all() or (same | ~has_no_ties(problem, *way, angle)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from(NAMES))
def test_no_angle_of_a_fine_grid_is_better_than_the_one_chosen(seed, name):
    problem = make_problem(seed, "cosine")
    angle, mean = find_exact_steps(problem, name, "nudge-n", "cosine", 1.0).find_best(1.0)
    way = ("nudge-n", "cosine")
    assert not find_mismatches(
        problem, name, way, np.linspace(0, 1, 200), lambda it: it > mean + 1e-9
    )
    assert not find_mismatches(problem, name, way, [angle], lambda it: it != pytest.approx(mean))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000))
def test_no_step_of_a_fine_grid_is_better_than_the_one_chosen(seed):
    problem = make_problem(seed, "dot")
    limit = float(np.arctan(2.0))
    angle, mean = find_exact_steps(problem, "ndcg@10", "nudge-m", "dot", limit).find_best(limit)
    way = ("nudge-m", "dot")
    grid = np.linspace(0, limit, 100)
    assert not find_mismatches(problem, "ndcg@10", way, grid, lambda it: it > mean + 1e-9)
    assert not find_mismatches(
        problem, "ndcg@10", way, [angle], lambda it: it != pytest.approx(mean)
    )


def test_nothing_wins_where_every_angle_hurts():
    points = np.array([[1.0, 0.0], [0.9, 0.4359]], np.float32)
    queries = np.array([[0.0, 1.0]], np.float32)
    attraction = csr_matrix([[0.0, 1.0]])
    held_out = JudgedQueries(
        np.array([[0.95, 0.31225]], np.float32),
        csr_matrix([[1.0, 0.0]]),
        np.full((1, 1), -np.inf, np.float32),
    )
    problem = (unit(points).astype(np.float32), queries, attraction, held_out)
    assert find_exact_steps(problem, "recall@1", "nudge-n", "cosine", 1.0).find_best(1.0)[0] >= 0.0
    assert lengths(problem[0]).max() == pytest.approx(1)


@given(st.floats(0, 1), st.floats(1e-9, 0.5))
def test_the_roundest_number_is_inside(low, width):
    assert low < roundest_number(low, low + width) < low + width


def test_steps_put_one_after_another_cover_all_queries():
    problem = make_problem(5, "cosine")
    whole = find_exact_steps(problem, "ndcg@10", "nudge-n", "cosine", 1.0)
    twice = type(whole).concatenate([whole, whole])
    np.testing.assert_array_equal(twice.evaluate(0.3), np.tile(whole.evaluate(0.3), 2))
    assert twice.find_best(1.0)[0] == whole.find_best(1.0)[0]
