"""No setting on a grid beats the one that is tuned, measured on queries that did not train."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from nudge_sync.base.executor import LOCAL
from nudge_sync.solve.fit import DEFAULT_MAX_ANGLE, build_task
from nudge_sync.solve.problem import JudgedQueries
from nudge_sync.solve.selection import tune
from nudge_sync.solve.selection.document_folds import hide_documents
from nudge_sync.solve.selection.trials import score_points
from nudge_sync.solve.task import (
    ValidationSplit,
    apply_method,
    build_splits,
    iterate_validation_queries,
)
from tests.support.solver_problems import make_gap_problem, make_learnable_problem, make_topics


@pytest.fixture(scope="module")
def task_and_splits():
    points, queries, buckets = make_learnable_problem(shift=1.0)
    task = build_task(points, queries, None, "ndcg@10", "cosine", DEFAULT_MAX_ANGLE)
    return task, build_splits(buckets, queries.relevance)


@pytest.fixture(scope="module")
def cold_task_and_splits():
    points, queries, buckets, _ = make_gap_problem()
    task = build_task(points, queries, None, "ndcg@10", "cosine", DEFAULT_MAX_ANGLE, 0.5)
    return task, hide_documents(task, build_splits(buckets, queries.relevance))


def test_no_angle_of_a_grid_scores_higher_than_the_one_tuned(task_and_splits):
    task, splits = task_and_splits
    tuned = tune.prepare_nudge_n(task, splits).run(task)
    for angle in np.linspace(0, DEFAULT_MAX_ANGLE, 20):
        assert (
            tune.prepare_fixed_angle(task, splits, "nudge-n", angle).run(task).mean
            <= tuned.mean + 1e-9
        )
    again = tune.prepare_fixed_angle(task, splits, "nudge-n", tuned.parameters["angle"]).run(task)
    np.testing.assert_allclose(again.values, tuned.values, atol=1e-12)


def test_no_angle_weighs_up_cold_answers_better_than_the_one_tuned(cold_task_and_splits):
    task, splits = cold_task_and_splits
    for prepare, method in ((tune.prepare_nudge_n, "nudge-n"), (tune.prepare_nudge_h, "nudge-h")):
        tuned = prepare(task, splits).run(task)
        assert tuned.strata.is_cold.any()
        for angle in np.linspace(0, DEFAULT_MAX_ANGLE, 10):
            parameters = {**tuned.parameters, "angle": angle}
            tried = tune.measure_method(task, splits, method, parameters)
            assert tried.mean <= tuned.mean + 1e-9
        again = tune.measure_method(task, splits, method, tuned.parameters)
        np.testing.assert_allclose(again.values, tuned.values, atol=1e-12)


def test_a_method_is_measured_on_queries_that_did_not_train_it(task_and_splits):
    task, splits = task_and_splits
    candidate = tune.prepare_nudge_c(task, splits).run(task)
    expected = [
        score_points(
            task, apply_method(task, split.train, "nudge-c", candidate.parameters), held_out
        )
        for split, held_out in iterate_validation_queries(task, splits)
    ]
    np.testing.assert_array_equal(candidate.values, np.concatenate(expected))


def test_a_given_angle_caps_nudge_c_with_and_without_splits(task_and_splits):
    task, splits = task_and_splits
    measured = tune.prepare_fixed_angle(task, splits, "nudge-c", 0.3).run(task)
    unmeasured = tune.prepare_fixed_angle(task, [], "nudge-c", 0.3).run(task)
    assert measured.parameters["cap"] == unmeasured.parameters["cap"] == 0.3
    assert measured.parameters.keys() == unmeasured.parameters.keys()
    assert len(unmeasured.values) == 0


def test_cold_answers_are_expected_only_where_they_count(task_and_splits, cold_task_and_splits):
    task, splits = task_and_splits
    assert "cold_answers" not in tune.prepare_nudge_c(task, splits).run(task).parameters
    task, splits = cold_task_and_splits
    tuned = tune.prepare_nudge_c(task, splits).run(task)
    assert tuned.parameters["cold_answers"] == 0.25
    assert "weighs 0.25 of a known one" in tuned.reason


def test_the_more_cold_answers_count_the_more_they_are_expected():
    weights = [tune.weigh_cold_answers(share) for share in (0, 0.2, 0.5, 0.8, 1)]
    assert weights == sorted(set(weights))
    assert weights[0] == 0
    assert weights[-1] == tune.MAX_COLD_ANSWERS


def test_nudge_h_tries_the_numbers_of_neighbours_it_is_given(cold_task_and_splits):
    task, splits = cold_task_and_splits
    tuned = tune.prepare_nudge_h(task, splits, (10,)).run(task)
    assert tuned.parameters["neighbours"] == 10
    assert tuned.mean <= tune.prepare_nudge_h(task, splits).run(task).mean


def doubt_judgements(queries, share):
    """Return the queries, of which a share names any document instead of the one that answers."""
    random = np.random.default_rng(0)
    relevance = queries.relevance.tolil()
    for row in np.flatnonzero(random.random(len(queries)) < share):
        relevance[row] = 0
        relevance[row, random.integers(relevance.shape[1])] = 1
    return JudgedQueries(queries.vectors, csr_matrix(relevance), queries.unjudged)


def tune_with_doubts(share, cold_share):
    points, queries, buckets = make_learnable_problem(shift=0.6)
    queries = doubt_judgements(queries, share)
    task = build_task(points, queries, None, "ndcg@10", "cosine", DEFAULT_MAX_ANGLE, cold_share)
    splits = build_splits(buckets, queries.relevance)
    splits = splits if cold_share is None else hide_documents(task, splits)
    usual = tune.prepare_nudge_c(task, splits).run(task)
    return task, splits, usual, tune.refine_nudge_c(task, splits, usual, LOCAL)


@pytest.mark.parametrize("cold_share", [None, 0.5])
def test_the_more_doubtful_judgements_are_the_firmer_originals_are_held(cold_share):
    priors = []
    for share in (0.0, 0.3, 0.8):
        task, splits, usual, tuned = tune_with_doubts(share, cold_share)
        priors.append(tuned.parameters["prior"])
        measured = tune.measure_method(task, splits, "nudge-c", tuned.parameters)
        np.testing.assert_allclose(tuned.values, measured.values, atol=1e-12)
        assert tuned.mean >= usual.mean
    assert priors[0] == tune.DEFAULT_PRIOR
    assert priors == sorted(priors)
    assert priors[-1] == tune.STRONGER_PRIORS[-1]


def test_a_stronger_prior_that_is_no_better_on_the_first_split_is_not_tried_on_the_rest():
    class CountingExecutor:
        def __init__(self):
            self.trials = []

        def map(self, work, task, items):
            self.trials += items
            return LOCAL.map(work, task, items)

    task, splits, usual, _ = tune_with_doubts(0.0, 0.5)
    executor = CountingExecutor()
    assert tune.refine_nudge_c(task, splits, usual, executor) is usual
    assert [trial.split for trial in executor.trials] == splits[:1]


def refine_topics(*, answers_together=True):
    """Refine NUDGE-C on queries of another kind than those that train.

    Documents of a topic answer together, or each of them its own queries alone.
    """
    documents, kinds, relevance = make_topics(0)
    vectors, relevance = np.concatenate(kinds), np.tile(relevance, (2, 1))
    if not answers_together:
        best = np.argmax(np.where(relevance > 0, vectors @ documents.T, -1), axis=1)
        relevance = np.eye(len(documents))[best]
    rivals = np.full((len(vectors), 10), 0.0, np.float32)
    queries = JudgedQueries(vectors, csr_matrix(relevance), rivals)
    task = build_task(documents, queries, None, "ndcg@10", "cosine", DEFAULT_MAX_ANGLE)
    is_first_kind = np.arange(len(vectors)) < len(kinds[0])
    splits = [ValidationSplit(is_first_kind, ~is_first_kind)]
    usual = tune.prepare_nudge_c(task, splits).run(task)
    return task, splits, usual, tune.refine_nudge_c(task, splits, usual, LOCAL)


def test_documents_ask_for_each_other_where_held_out_queries_gain_by_it():
    task, splits, usual, refined = refine_topics()
    assert "co_relevance" not in usual.parameters
    assert refined.parameters["co_relevance"] == tune.CO_RELEVANCE
    assert refined.mean > usual.mean + 0.05
    measured = tune.measure_method(task, splits, "nudge-c", refined.parameters)
    np.testing.assert_allclose(refined.values, measured.values, atol=1e-12)
    assert refined.reason.endswith(f"and a co-relevance of 1 {refined.mean:.4f}")


def test_documents_ask_for_each_other_where_held_out_queries_show_no_difference(monkeypatch):
    monkeypatch.setattr(tune, "CO_RELEVANCE", 1e-9)
    _, _, usual, refined = refine_topics()
    assert refined.parameters["co_relevance"] == 1e-9
    assert refined.mean >= usual.mean


def test_documents_that_answer_alone_have_nothing_to_ask_for():
    *_, refined = refine_topics(answers_together=False)
    assert "co_relevance" not in refined.parameters


def test_documents_do_not_ask_for_each_other_where_held_out_queries_lose_by_it(monkeypatch):
    """Each query that trains has one more answer, by mistake, that it has nothing to do with."""
    points, queries, buckets = make_learnable_problem(shift=1.0)
    others = np.roll(np.arange(len(points)), len(points) // 2)
    mistaken = csr_matrix(queries.relevance + queries.relevance[:, others])
    trains = (buckets > 1)[:, None]
    relevance = csr_matrix(mistaken.multiply(trains) + queries.relevance.multiply(~trains))
    queries = JudgedQueries(queries.vectors, relevance, queries.unjudged)
    task = build_task(points, queries, None, "ndcg@10", "cosine", DEFAULT_MAX_ANGLE)
    splits = [ValidationSplit(trains.ravel(), ~trains.ravel())]
    monkeypatch.setattr(tune, "CO_RELEVANCE", 30.0)
    usual = tune.prepare_nudge_c(task, splits).run(task)
    asking = {**usual.parameters, "co_relevance": 30.0}
    assert tune.measure_method(task, splits, "nudge-c", asking).mean < usual.mean - 0.01
    refined = tune.refine_nudge_c(task, splits, usual, LOCAL)
    assert refined.parameters.get("co_relevance") is None
