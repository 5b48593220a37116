"""Methods and angles are chosen on queries that did not train them, and only for a real gain."""

from __future__ import annotations

import numpy as np

from nudge_sync.solve.fit import DEFAULT_MAX_ANGLE, build_task
from nudge_sync.solve.selection import choose
from nudge_sync.solve.selection.strata import Strata
from nudge_sync.solve.selection.tune import MethodCandidate, measure_method
from nudge_sync.solve.task import build_splits
from tests.support.solver_problems import make_learnable_problem

NOISE = np.random.default_rng(0).normal(size=200)
ONE_KIND = Strata(np.zeros(200, bool), np.arange(200), 0.0)
HALF_COLD = Strata(np.arange(200) >= 100, np.arange(200), 0.5)


def make_candidate(method, values, strata=ONE_KIND, cross_validated=None):
    return MethodCandidate(method, {}, np.asarray(values), strata, cross_validated=cross_validated)


def make_gains(warm, cold):
    """A candidate's values that gain so much on the two kinds, with a little noise."""
    extra = np.random.default_rng(1).normal(size=200) / 10
    return NOISE + np.where(HALF_COLD.is_cold, cold, warm) + extra


def test_the_simplest_of_equals_is_picked():
    baseline = make_candidate("nothing", NOISE)
    equals = [make_candidate("nudge-n", NOISE + 1), make_candidate("nudge-c", NOISE + 1)]
    assert choose.pick_candidate([baseline, *equals])[0] is equals[0]
    better = make_candidate("nudge-c", NOISE + 1.1)
    assert choose.pick_candidate([baseline, equals[0], better])[0] is better
    worse = make_candidate("nudge-n", NOISE - 1)
    assert choose.pick_candidate([baseline, worse])[0] is baseline


def test_a_gain_that_only_the_choosing_queries_see_does_not_count():
    baseline = make_candidate("nothing", NOISE)
    lucky = make_candidate("nudge-n", NOISE + 1, cross_validated=NOISE - 1)
    assert choose.pick_candidate([baseline, lucky])[0] is baseline


def test_of_equals_the_one_that_costs_cold_answers_least_is_picked():
    baseline = make_candidate("nothing", NOISE, HALF_COLD)
    harsh = make_candidate("nudge-n", make_gains(1.0, -0.5), HALF_COLD)
    kind = make_candidate("nudge-c", make_gains(0.5, 0.0), HALF_COLD)
    assert choose.pick_candidate([baseline, harsh, kind])[0] is kind
    assert choose.pick_candidate([baseline, harsh])[0] is harsh
    worth_it = make_candidate("nudge-n", make_gains(2.0, -0.5), HALF_COLD)
    assert choose.pick_candidate([baseline, worth_it, kind])[0] is worth_it


def test_a_method_that_costs_more_than_it_gains_is_not_picked():
    baseline = make_candidate("nothing", NOISE, HALF_COLD)
    harmful = make_candidate("nudge-n", make_gains(1.0, -1.5), HALF_COLD)
    assert choose.pick_candidate([baseline, harmful])[0] is baseline


def test_judgements_dealt_out_anew_are_no_better_than_shuffled():
    points, queries, buckets = make_learnable_problem(shift=1.0)
    task = build_task(points, queries, None, "ndcg@10", "cosine", DEFAULT_MAX_ANGLE)
    splits = build_splits(buckets, queries.relevance)
    values = measure_method(task, splits, "nothing", {}).values
    assert choose.is_better_than_shuffled(task, splits, values)
    assert not choose.is_better_than_shuffled(task, splits, values * 0)
