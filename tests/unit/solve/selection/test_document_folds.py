"""A hidden document does not train, and what is scored on it is its own answers alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from nudge_sync.solve.fit import DEFAULT_MAX_ANGLE, build_task
from nudge_sync.solve.relevance import has_answer
from nudge_sync.solve.selection.document_folds import hash_rows, hide_documents
from nudge_sync.solve.selection.trials import score_points
from nudge_sync.solve.selection.tune import build_nudge_c_parameters
from nudge_sync.solve.task import apply_method, build_splits, iterate_validation_queries
from tests.support.solver_problems import make_learnable_problem


def build_cold_task(answers_per_query=2):
    points, queries, buckets = make_learnable_problem(shift=1.0)
    random = np.random.default_rng(0)
    relevance = queries.relevance.tolil()
    for _ in range(answers_per_query - 1):
        relevance[np.arange(400), random.integers(0, len(points), 400)] = 1
    queries = type(queries)(queries.vectors, csr_matrix(relevance), queries.unjudged)
    task = build_task(points, queries, None, "ndcg@10", "cosine", DEFAULT_MAX_ANGLE, 0.5)
    return task, build_splits(buckets, queries.relevance)


def test_a_row_has_its_hash_wherever_it_stands():
    rows = np.random.default_rng(0).normal(size=(5000, 8)).astype(np.float32)
    order = np.random.default_rng(1).permutation(len(rows))
    np.testing.assert_array_equal(hash_rows(rows)[order], hash_rows(rows[order]))
    rescaled = rows * np.float32(1 + 1.2e-7)
    assert (hash_rows(rescaled) != hash_rows(rows)).mean() < 0.01
    counts = np.bincount(hash_rows(rows) % 5)
    assert counts.min() > 900
    assert len(np.unique(hash_rows(rows))) > 4990


def test_each_document_is_hidden_once():
    task, splits = build_cold_task()
    hidden = hide_documents(task, splits)
    np.testing.assert_array_equal(sum(one.hidden for one in hidden), np.ones(len(task.points)))


def test_a_single_split_is_repeated_until_enough_documents_were_hidden():
    task, splits = build_cold_task()
    repeated = hide_documents(task, splits[:1])
    assert len(repeated) == 5
    np.testing.assert_array_equal(sum(one.hidden for one in repeated), np.ones(len(task.points)))
    assert hide_documents(task, []) == []


@pytest.mark.parametrize("method", ["nudge-n", "nudge-h", "nudge-m", "nudge-c"])
def test_a_hidden_document_does_not_move(method):
    task, splits = build_cold_task()
    parameters = {"angle": 0.3, "neighbours": 10, "step": 0.3, **build_nudge_c_parameters(task)}
    for split in hide_documents(task, splits)[:2]:
        moved = apply_method(task, split.train, method, parameters, split.hidden)
        differs = (moved != task.points).any(axis=1)
        assert not differs[split.hidden].any()
        assert differs[~split.hidden].mean() > 0.5


def test_who_trains_and_who_validates():
    task, splits = build_cold_task(answers_per_query=1)
    relevance = task.queries.relevance
    for split, plain in zip(hide_documents(task, splits), splits, strict=True):
        has_cold = has_answer(relevance[:, split.hidden])
        # Each query has one answer, so one with a hidden answer has nothing to train with.
        np.testing.assert_array_equal(split.train, plain.train & ~has_cold)
        np.testing.assert_array_equal(split.validation, plain.validation & ~has_cold)
        np.testing.assert_array_equal(split.cold_validation, has_cold)
        assert not (split.train & (split.validation | split.cold_validation)).any()


def test_an_answer_too_doubtful_to_attract_makes_no_cold_query():
    task, splits = build_cold_task()
    first_answers = task.queries.relevance.tolil()
    for row, answers in enumerate(first_answers.rows):
        first_answers[row, answers[1:]] = 0
    sure = csr_matrix(first_answers)
    sure.eliminate_zeros()
    queries = task.queries
    doubtful = build_task(
        task.points, queries, sure, "ndcg@10", "cosine", DEFAULT_MAX_ANGLE, task.cold_share
    )
    for split in hide_documents(doubtful, splits):
        has_cold = has_answer(sure[:, split.hidden])
        assert (has_answer(queries.relevance[:, split.hidden]) & ~has_cold).any()
        np.testing.assert_array_equal(split.cold_validation, has_cold)
        assert not (split.train & has_cold).any()


def test_a_query_is_scored_on_one_kind_of_answer_with_the_others_taken_out():
    task, splits = build_cold_task()
    (split, *_), grades = hide_documents(task, splits), task.queries.relevance.toarray()
    ((_, queries),) = iterate_validation_queries(task, [split])
    warm, cold = np.flatnonzero(split.validation), np.flatnonzero(split.cold_validation)
    assert len(queries) == len(warm) + len(cold)
    values, discounts = score_points(task, task.points, queries), 1 / np.log2(np.arange(2, 12))
    for value, row, kind in zip(
        values,
        np.concatenate([warm, cold]),
        [*([~split.hidden] * len(warm)), *([split.hidden] * len(cold))],
        strict=True,
    ):
        stays = (grades[row] <= 0) | kind
        scores = np.append(
            task.queries.unjudged[row], task.points[stays] @ task.queries.vectors[row]
        )
        gains = np.append(np.zeros(10), grades[row][stays])
        best = gains[np.argsort(-scores, kind="stable")][:10] @ discounts
        ideal = -np.sort(-gains)[:10] @ discounts
        assert value == pytest.approx(best / ideal)


def test_of_very_many_cold_queries_some_validate(monkeypatch):
    task, splits = build_cold_task()
    whole = hide_documents(task, splits)
    monkeypatch.setattr("nudge_sync.solve.selection.document_folds.MAX_VALIDATION_QUERIES", 10)
    for some, all_of_them in zip(hide_documents(task, splits), whole, strict=True):
        assert some.cold_validation.sum() == 10
        assert not (some.cold_validation & ~all_of_them.cold_validation).any()
