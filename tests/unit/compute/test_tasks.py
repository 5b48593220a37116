"""What a worker is sent, and when it refuses to compute."""

from __future__ import annotations

import pickle

from nudge_sync.base.threads import limit_threads
from nudge_sync.compute.tasks import describe_environment
from nudge_sync.solve.fit import DEFAULT_MAX_ANGLE, build_task
from tests.support.solver_problems import make_gap_problem


def test_an_environment_is_described_by_what_it_computes():
    with limit_threads(1):
        one = describe_environment(1)
    assert {"Python", "nudge-sync", "numpy", "scipy", "arithmetic on 1 threads"} == one.keys()
    describe_environment.cache_clear()
    with limit_threads(1):
        assert describe_environment(1) == one


def test_the_caches_of_a_task_stay_here():
    points, queries, _, _ = make_gap_problem()
    task = build_task(points, queries, None, "ndcg@10", "cosine", DEFAULT_MAX_ANGLE, 0.5)
    before = len(pickle.dumps(task))
    assert len(task.precise_queries) == len(queries)
    assert len(pickle.dumps(task)) == before
    assert pickle.loads(pickle.dumps(task)).precise_queries.dtype == "float64"
