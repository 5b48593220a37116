"""The exact step function against a brute force that moves and scores everything again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from nudge_sync.solve.geometry import lengths, unit
from nudge_sync.solve.line_search.step_function import StepFunction, roundest_number
from nudge_sync.solve.problem import JudgedQueries
from tests.support.solver_problems import (
    find_exact_steps,
    has_no_ties,
    make_line_search_problem,
    score_by_brute_force,
)

NAMES = ["ndcg@10", "recall@10", "recall@1", "mrr@10", "ndcg@3", "mrr@2"]


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
    problem = make_line_search_problem(seed, way[1])
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
    problem = make_line_search_problem(seed, "cosine")
    angle, mean = find_exact_steps(problem, name, "nudge-n", "cosine", 1.0).find_best(1.0)
    way = ("nudge-n", "cosine")
    assert not find_mismatches(
        problem, name, way, np.linspace(0, 1, 200), lambda it: it > mean + 1e-9
    )
    assert not find_mismatches(problem, name, way, [angle], lambda it: it != pytest.approx(mean))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000))
def test_no_step_of_a_fine_grid_is_better_than_the_one_chosen(seed):
    problem = make_line_search_problem(seed, "dot")
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
    problem = make_line_search_problem(5, "cosine")
    whole = find_exact_steps(problem, "ndcg@10", "nudge-n", "cosine", 1.0)
    twice = StepFunction.concatenate([whole, whole])
    np.testing.assert_array_equal(twice.evaluate(0.3), np.tile(whole.evaluate(0.3), 2))
    assert twice.find_best(1.0)[0] == whole.find_best(1.0)[0]


def test_each_query_is_cross_validated_at_an_angle_that_others_chose():
    # Query 0 alone gains at 0.2; the others lose there, so they choose 0 for it and it for them.
    steps = StepFunction(
        np.zeros(10), np.full(10, 0.1), np.arange(10), np.array([20.0, *([-1.0] * 9)])
    )
    assert steps.find_best(1.0) == (0.2, pytest.approx(1.1))
    values = steps.cross_validate(1.0)
    assert values[0] == 0.0
    assert values[1] == -1.0
