"""Relevance in every form that callers write it in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix

from nudge_sync.errors import InputError
from nudge_sync.tuning.qrels import build_relevance_matrix


def build(relevant, queries: int = 2, documents: int = 4) -> csr_matrix:
    return build_relevance_matrix(relevant, queries, documents, "train_relevant")


@pytest.mark.parametrize(
    "relevant",
    [
        [[3, 0], [1]],
        [{0, 3}, (1,)],
        [np.array([0, 3]), {1: 1.0}],
        csr_matrix(([1.0, 1.0, 1.0], ([0, 0, 1], [0, 3, 1])), shape=(2, 4)),
    ],
)
def test_rows_mappings_and_matrices_are_the_same_relevance(relevant):
    assert build(relevant).toarray().tolist() == [[1, 0, 0, 1], [0, 1, 0, 0]]


def test_grades_are_kept_and_zero_is_an_explicit_judgement():
    matrix = build([{2: 3.0, 0: 0.0, 1: -1.0}, []])

    assert matrix.indices.tolist() == [0, 1, 2]
    assert matrix.data.tolist() == [0.0, -1.0, 3.0]


def test_a_row_named_twice_counts_once():
    assert build([[2, 2, 1], [0, 0]]).data.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", [csr_matrix, csr_array])
def test_columns_of_a_matrix_may_stand_in_any_order_and_twice_and_the_matrix_is_left_alone(kind):
    entries = np.array([1.0, 2.0, 0.0, 0.5]), np.array([3, 0, 2, 3]), np.array([0, 4, 4])
    given = kind(tuple(one.copy() for one in entries), shape=(2, 4))

    matrix = build(given)

    assert (matrix.indices.tolist(), matrix.data.tolist()) == ([0, 2, 3], [2.0, 0.0, 1.5])
    for before, after in zip(entries, (given.data, given.indices, given.indptr), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    "relevant",
    [
        {"q1": {"d1": 1}, "q2": {"d2": 1}},
        ["1", "2"],
        [["1"], ["2"]],
        [{"1": 1}, {"2": 1}],
        [{1: "x"}, {2: 1}],
        [{1: "2"}, {2: 1}],
        [1, 2],
        np.array([1, 2]),
        np.array([[0, 1, 0, 0], [0, 0, 1, 0]]),
        [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]],
        np.array([[False, True, False, False], [False, False, True, False]]),
        [[True, False], [False, True]],
        [None, [1]],
        None,
        3,
        "12",
    ],
    ids=str,
)
def test_any_other_form_is_refused_with_what_to_give(relevant):
    with pytest.raises(InputError, match=r"^train_relevant.*give a list with one entry a query"):
        build(relevant)


def test_each_query_may_name_every_document():
    assert build([[1, 0], [0, 1]], documents=2).toarray().tolist() == [[1, 1], [1, 1]]
    assert build(np.array([[0], [0]]), documents=1).toarray().tolist() == [[1], [1]]


@pytest.mark.parametrize(
    ("relevant", "words"),
    [
        ([[0]], "1 entries for 2 queries"),
        ([[0], [4]], r"train_relevant\[1\] names row 4, but documents have rows 0 to 3"),
        ([[0], [-1]], "names row -1"),
        ([[0], [np.inf]], "names row inf"),
        ([[0], [0.5]], "whole row numbers"),
        ([["a"], []], "row numbers"),
        ([{0: np.inf}, []], "not a finite number"),
        ([{0: None}, []], "not a finite number"),
        (csr_matrix((2, 3)), r"is \(2, 3\); it has to be \(2, 4\)"),
    ],
)
def test_what_is_wrong_is_named(relevant, words):
    with pytest.raises(InputError, match=words):
        build(relevant)
