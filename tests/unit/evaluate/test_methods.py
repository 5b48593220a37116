"""Each method trains on the training queries alone, by the weights of a task."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nudge_sync.evaluate.methods import METHOD_DESCRIPTIONS, METHODS, move_documents, train_method
from nudge_sync.evaluate.protocol import split_randomly
from tests.support.evaluation_study import make_task

MAPS_QUERIES = {"adaptor", "query-adapter", "auto+query-adapter", "rocchio", "nnn"}


@pytest.fixture(scope="module")
def task():
    return make_task()


@pytest.fixture(scope="module")
def split(task):
    return split_randomly(task.number_questions(), seed=0)


def test_every_method_has_a_description():
    assert tuple(METHOD_DESCRIPTIONS) == METHODS


@pytest.mark.parametrize("method", METHODS)
def test_a_method_changes_what_it_says_it_does(task, split, method):
    trained = train_method(task, split, method, "ndcg@10", seed=0)

    dimension = task.documents.shape[1]
    moved = np.flatnonzero((trained.documents[:, :dimension] != task.documents).any(axis=1))
    assert trained.moved.tolist() == moved.tolist()
    assert trained.queries is task.queries or method in MAPS_QUERIES
    assert trained.seconds > 0
    assert (trained.rank is not None) == (method == "pefa-xl")
    if method in {"nothing", "adaptor", "query-adapter", "pefa-xl", "rocchio"}:
        assert trained.documents is task.documents or not len(moved)


def test_only_documents_that_training_queries_attract_move(task, split):
    attracted = {row for rows in task.list_attracted(split.train) for row in rows}

    trained = move_documents(task, split, "nudge-n", "ndcg@10", angle=0.3)

    assert set(trained.moved.tolist()) == attracted
    assert trained.parameters["angle"] == 0.3


@pytest.mark.parametrize("method", ["nudge-n", "nudge-c", "auto"])
def test_weights_of_one_each_are_no_weights(task, split, method):
    weighted = replace(task, weights=[dict.fromkeys(grades, 1.0) for grades in task.judgements])

    plain = move_documents(task, split, method, "ndcg@10")

    assert (
        move_documents(weighted, split, method, "ndcg@10").documents.tobytes()
        == plain.documents.tobytes()
    )


@pytest.mark.parametrize("method", ["nudge-n", "nudge-c", "auto"])
def test_an_answer_without_a_weight_attracts_nothing_also_once_auto_trains_on_all(
    task, split, method
):
    """Documents below row 15 are answers in rankings, and too doubtful to attract."""
    doubtful = replace(
        task,
        weights=[{row: 0.7 for row in grades if row >= 15} for grades in task.judgements],
    )

    trained = move_documents(doubtful, split, method, "ndcg@10", angle=0.3)

    assert len(trained.moved)
    assert trained.moved.min() >= 15
