"""Trials are independent: of each other, of their order, and of the process they run in."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from nudge_sync.solve.fit import DEFAULT_MAX_ANGLE, build_task, fit
from nudge_sync.solve.selection.document_folds import hide_documents
from nudge_sync.solve.selection.trials import SplitTrial, run_trial
from nudge_sync.solve.selection.tune import measure_method
from nudge_sync.solve.task import build_splits
from tests.support.solver_problems import make_gap_problem, make_learnable_problem


class ShufflingExecutor:
    """Runs tasks backwards, each on a copy of its own of everything, as workers would."""

    def __init__(self) -> None:
        self.task_counts = []

    def map(self, work, shared, items):
        self.task_counts.append(len(items))
        packed = [pickle.dumps((work, shared, item)) for item in items]
        results = {}
        for number in reversed(range(len(items))):
            function, *arguments = pickle.loads(packed[number])
            results[number] = pickle.loads(pickle.dumps(function(*arguments)))
        return iter([results[number] for number in range(len(items))])


@pytest.mark.parametrize("method", ["auto", "nudge-h", "nudge-c"])
@pytest.mark.parametrize("cold_share", [None, 0.5])
def test_tasks_of_any_order_and_process_give_the_same_choice(method, cold_share):
    points, queries, buckets = make_learnable_problem(shift=1.0)
    options = {"method": method, "cold_share": cold_share, "threads": 1}
    here = fit(points, queries, buckets, **options)
    executor = ShufflingExecutor()
    there = fit(points, queries, buckets, **options, executor=executor)
    np.testing.assert_array_equal(there.vectors, here.vectors)
    assert (there.method, there.parameters, there.scores) == (
        here.method,
        here.parameters,
        here.scores,
    )
    assert (there.reasons, there.cold) == (here.reasons, here.cold)
    assert executor.task_counts[0] > 1


def test_all_methods_are_tried_side_by_side():
    points, queries, buckets = make_learnable_problem(shift=1.0)
    executor = ShufflingExecutor()
    fit(points, queries, buckets, cold_share=0.5, threads=1, executor=executor)
    split_count = len(build_splits(buckets, queries.relevance))
    # Beside them one trial of a stronger prior, and the fit.
    assert executor.task_counts == [3 * split_count, 1, 1]


def test_a_trial_of_given_settings_is_what_the_line_search_finds_there():
    points, queries, buckets, _ = make_gap_problem()
    task = build_task(points, queries, None, "ndcg@10", "cosine", DEFAULT_MAX_ANGLE, 0.5)
    splits = hide_documents(task, build_splits(buckets, queries.relevance))
    for method, settings in (("nudge-n", {}), ("nudge-h", {"neighbours": 10})):
        given = {**settings, "angle": 0.2}
        parts = [run_trial(task, SplitTrial(method, given, split)) for split in splits]
        curves = [
            run_trial(task, SplitTrial(method, settings, split, DEFAULT_MAX_ANGLE))
            for split in splits
        ]
        for part, curve in zip(parts, curves, strict=True):
            assert len(part.angle) == 0
            np.testing.assert_allclose(part.evaluate(0.2), curve.evaluate(0.2), atol=1e-12)
        measured = measure_method(task, splits, method, given)
        np.testing.assert_array_equal(
            measured.values, np.concatenate([part.initial for part in parts])
        )
