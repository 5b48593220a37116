"""What a task says about its queries, and how vectors are checked and scaled."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.errors import InputError
from nudge_sync.evaluate.task import (
    EvaluationTask,
    check_rows,
    drop_unanswered_queries,
    iterate_blocks,
    scale_to_unit,
)

ALL = np.arange(3)


def make_task(judgements, weights=None) -> EvaluationTask:
    vectors = np.eye(3, dtype=np.float32)
    names = ["0", "1", "2"]
    return EvaluationTask("toy", vectors, vectors, judgements, names, names, weights=weights)


def test_without_weights_every_answer_attracts():
    task = make_task([{0: 2.0, 1: 0.0}, {1: 1.0, 2: -1.0}, {2: 1.0}])

    assert task.list_attracted(ALL) == task.list_answers(ALL) == [[0], [1], [2]]
    assert task.select_weights(ALL) is None
    assert (task.count_judgements(), task.count_judged_documents()) == (5, 3)


def test_with_weights_doubtful_answers_count_only_where_there_is_no_sure_one():
    task = make_task(
        [{0: 0.9, 1: 0.1}, {1: 0.2, 2: 0.3}, {2: 1.0}], [{0: 0.8}, {}, {2: 1.0, 1: 0.0}]
    )

    assert task.list_attracted(ALL) == [[0], [], [2]]
    assert task.list_answers(ALL) == [[0], [1, 2], [2]]
    assert task.select_weights(np.array([2, 0])) == [{2: 1.0, 1: 0.0}, {0: 0.8}]


def test_queries_that_nothing_answers_are_dropped_with_their_weights():
    task = drop_unanswered_queries(
        make_task([{0: 1.0}, {1: 0.0}, {2: 1.0}], [{0: 0.5}, {}, {2: 0.7}])
    )

    assert task.query_ids == ["0", "2"]
    assert task.judgements == [{0: 1.0}, {2: 1.0}]
    assert task.weights == [{0: 0.5}, {2: 0.7}]
    assert task.queries.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert task.notes == ("1 queries without an answer were left out",)


def test_a_task_in_which_every_query_has_an_answer_stays_itself():
    task = make_task([{0: 1.0}, {1: 1.0}, {2: 1.0}])

    assert drop_unanswered_queries(task) is task
    with pytest.raises(InputError, match="toy: no query has an answer"):
        drop_unanswered_queries(make_task([{}, {1: 0.0}, {2: -1.0}]))


def test_unit_rows_stay_the_same_array_and_others_are_scaled():
    unit = np.eye(3, dtype=np.float32)

    assert scale_to_unit(unit) is unit
    np.testing.assert_allclose(scale_to_unit(3 * unit), unit)


def test_blocks_cover_every_row_once():
    vectors = np.arange(14, dtype=np.float32).reshape(7, 2)

    blocks = list(iterate_blocks(vectors, size=3))

    assert [(start, len(block)) for start, block in blocks] == [(0, 3), (3, 3), (6, 1)]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), vectors)


def test_the_first_bad_row_is_named():
    vectors = np.ones((5, 2), np.float32)
    assert check_rows(vectors, "here") is vectors
    vectors[3] = 0
    with pytest.raises(InputError, match="here: row 3 is zero"):
        check_rows(vectors, "here")
