"""Methods and angles are chosen on queries that did not train them, and only for a real gain."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.solve import choose
from nudge_sync.solve.fit import DEFAULT_MAX_ANGLE, build_task
from nudge_sync.solve.task import apply_method, build_splits, iterate_validation_queries
from tests.support.solver_problems import make_learnable_problem


@pytest.fixture(scope="module")
def task_and_splits():
    points, queries, buckets = make_learnable_problem(shift=1.0)
    task = build_task(points, queries, None, "ndcg@10", "cosine", DEFAULT_MAX_ANGLE)
    return task, build_splits(buckets, queries.relevance)


def make_candidate(method, values, cross_validated=None):
    return choose.MethodCandidate(method, {}, np.asarray(values), cross_validated=cross_validated)


def test_ahead_means_more_than_chance():
    values = np.random.default_rng(0).normal(size=500)
    assert not choose.is_ahead(values, values, 1.0)
    assert choose.is_ahead(values + 0.1, values, 1.0)
    assert not choose.is_ahead(values[:1] + 1, values[:1], 1.0)
    assert not choose.is_ahead(values[::-1], values, 3.0)


def test_the_simplest_of_equals_is_picked():
    noise = np.random.default_rng(0).normal(size=200)
    baseline = make_candidate("nothing", noise)
    equals = [make_candidate("nudge-n", noise + 1), make_candidate("nudge-c", noise + 1)]
    assert choose.pick_candidate([baseline, *equals])[0] is equals[0]
    better = make_candidate("nudge-c", noise + 1.1)
    assert choose.pick_candidate([baseline, equals[0], better])[0] is better
    worse = make_candidate("nudge-n", noise - 1)
    assert choose.pick_candidate([baseline, worse])[0] is baseline


def test_a_gain_that_only_the_choosing_queries_see_does_not_count():
    noise = np.random.default_rng(0).normal(size=200)
    baseline = make_candidate("nothing", noise)
    lucky = make_candidate("nudge-n", noise + 1, cross_validated=noise - 1)
    assert choose.pick_candidate([baseline, lucky])[0] is baseline


def test_no_angle_of_a_grid_scores_higher_than_the_one_tuned(task_and_splits):
    task, splits = task_and_splits
    tuned = choose.tune_nudge_n(task, splits)
    for angle in np.linspace(0, DEFAULT_MAX_ANGLE, 20):
        assert choose.try_fixed_angle(task, splits, "nudge-n", angle).mean <= tuned.mean + 1e-9
    again = choose.try_fixed_angle(task, splits, "nudge-n", tuned.parameters["angle"])
    np.testing.assert_allclose(again.values, tuned.values)


def test_a_method_is_measured_on_queries_that_did_not_train_it(task_and_splits):
    task, splits = task_and_splits
    candidate = choose.tune_nudge_c(task, splits)
    expected = [
        choose.metric_values(
            apply_method(task, split.train, "nudge-c", candidate.parameters), held_out, "ndcg@10"
        )
        for split, held_out in iterate_validation_queries(task, splits)
    ]
    np.testing.assert_array_equal(candidate.values, np.concatenate(expected))


def test_a_given_angle_caps_nudge_c_with_and_without_splits(task_and_splits):
    task, splits = task_and_splits
    measured = choose.try_fixed_angle(task, splits, "nudge-c", 0.3)
    unmeasured = choose.try_fixed_angle(task, [], "nudge-c", 0.3)
    assert measured.parameters["cap"] == unmeasured.parameters["cap"] == 0.3
    assert measured.parameters.keys() == unmeasured.parameters.keys()
    assert len(unmeasured.values) == 0


def test_judgements_dealt_out_anew_are_no_better_than_shuffled(task_and_splits):
    task, splits = task_and_splits
    values = choose.measure_baseline(task, splits).values
    assert choose.is_better_than_shuffled(task, splits, values)
    assert not choose.is_better_than_shuffled(task, splits, values * 0)
