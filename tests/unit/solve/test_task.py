"""A task turns grades and weights into pulls, and splits its queries to validate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from nudge_sync.errors import InputError
from nudge_sync.solve.fit import DEFAULT_MAX_ANGLE, build_task
from nudge_sync.solve.nudge_h import find_unanswered_neighbours, remove_hub_pull
from nudge_sync.solve.task import (
    MIN_QUERIES_FOR_ONE_SPLIT,
    apply_method,
    build_attraction,
    build_rejection,
    build_splits,
    find_first_equals,
    keep_some,
)
from tests.support.solver_problems import make_learnable_problem

GRADES = csr_matrix(([2.0, -1.0, 0.0, 1.0], [0, 1, 2, 0], [0, 3, 4]), shape=(2, 3))


def test_equal_rows_share_the_number_of_the_first():
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert find_first_equals(rows).tolist() == [0, 1, 2, 3, 4]
    assert find_first_equals(rows[[0, 1, 0, 2, 2, 1]]).tolist() == [0, 1, 0, 3, 3, 1]
    assert find_first_equals(rows[:0]).tolist() == []


def build_learnable_task():
    points, queries, buckets = make_learnable_problem(shift=1.0)
    return build_task(points, queries, None, "ndcg@10", "cosine", DEFAULT_MAX_ANGLE), buckets


def test_positive_grades_attract_and_others_reject():
    np.testing.assert_array_equal(build_attraction(GRADES, None).toarray(), [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(build_rejection(GRADES).toarray(), [[0, 1, 1], [0, 0, 0]])


def test_a_weight_counts_per_query_or_per_judgement():
    per_query = build_attraction(GRADES, np.array([3.0, 0.5])).toarray()
    per_judgement = build_attraction(GRADES, csr_matrix([[3.0, 7, 7], [0.5, 0, 0]])).toarray()
    np.testing.assert_array_equal(per_query, [[3, 0, 0], [0.5, 0, 0]])
    np.testing.assert_array_equal(per_judgement, per_query)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_a_weight_that_is_none_is_an_input_error(weight):
    with pytest.raises(InputError, match="weight"):
        build_attraction(GRADES, np.array([weight, 1.0]))


def test_few_queries_validate_once_each_and_many_in_one_split():
    few = csr_matrix(np.eye(30))
    splits = build_splits(np.arange(30) % 10, few)
    np.testing.assert_array_equal(sum(split.validation for split in splits), np.ones(30))
    assert all(not (split.train & split.validation).any() for split in splits)
    count = MIN_QUERIES_FOR_ONE_SPLIT
    many = csr_matrix((np.ones(count), (np.arange(count), np.zeros(count, int))))
    (split,) = build_splits(np.arange(count) % 10, many)
    assert split.validation.sum() == count // 5


def test_of_very_many_queries_some_validate_always_the_same(monkeypatch):
    monkeypatch.setattr("nudge_sync.solve.task.MAX_VALIDATION_QUERIES", 50)
    count = MIN_QUERIES_FOR_ONE_SPLIT
    many = csr_matrix((np.ones(count), (np.arange(count), np.zeros(count, int))))
    (split,) = build_splits(np.arange(count) % 10, many)
    assert split.validation.sum() == 50
    assert split.train.sum() == count * 4 // 5
    assert not (split.train & split.validation).any()
    (again,) = build_splits(np.arange(count) % 10, many)
    np.testing.assert_array_equal(again.validation, split.validation)


def test_a_query_without_an_answer_trains_but_does_not_validate():
    relevance = csr_matrix(np.diag([1.0] * 9 + [0.0]))
    splits = build_splits(np.arange(10), relevance)
    assert not any(split.validation[9] for split in splits)
    assert build_splits(np.zeros(3, int), csr_matrix(np.eye(3))) == []


def test_of_very_many_queries_some_tell_what_a_point_does_not_answer(monkeypatch):
    task, _ = build_learnable_task()
    everyone = np.ones(len(task.queries), np.bool_)
    whole = task.get_hub_free_pulls(everyone, None, 10)
    monkeypatch.setattr("nudge_sync.solve.task.MAX_BANK_QUERIES", 30)
    task, _ = build_learnable_task()
    some = task.get_hub_free_pulls(everyone, None, 10)
    bank = np.flatnonzero(keep_some(everyone, 30))
    answered = csr_matrix((task.queries.relevance > 0)[bank].T)
    queries = task.queries.vectors[bank]
    nearest = find_unanswered_neighbours(task.points, queries, answered, 10)
    expected = remove_hub_pull(
        task.points, task.get_pulls(everyone), queries.astype(np.float64), nearest
    )
    np.testing.assert_array_equal(some.pull, expected.pull)
    assert np.abs(some.pull - whole.pull).max() > 1e-3


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("nothing", {}),
        ("nudge-n", {"angle": 0.2}),
        ("nudge-m", {"step": 0.2}),
        ("nudge-c", {"sharpness": 18.0, "prior": 1.0, "cap": 0.5, "steps": 10}),
    ],
)
def test_a_point_whose_queries_do_not_train_stays_bit_for_bit(method, parameters):
    task, _ = build_learnable_task()
    train = np.arange(len(task.queries)) < 100
    moved = apply_method(task, train, method, parameters)
    trained = np.asarray(task.attraction[train].sum(axis=0)).ravel() > 0
    assert 0 < trained.sum() < len(trained)
    assert moved[~trained].tobytes() == task.points[~trained].tobytes()
    differs = (moved != task.points).any(axis=1)
    assert differs[trained].all() == (method != "nothing")
