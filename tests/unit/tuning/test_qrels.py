"""Relevance in every form that callers write it in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

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


@pytest.mark.parametrize(
    ("relevant", "words"),
    [
        ([[0]], "1 entries for 2 queries"),
        ([[0], [4]], r"train_relevant\[1\] names row 4, but documents have rows 0 to 3"),
        ([[0], [-1]], "names row -1"),
        ([[0], [0.5]], "whole row numbers"),
        ([["a"], []], "row numbers"),
        ([{0: np.inf}, []], "not a finite number"),
        (csr_matrix((2, 3)), r"is \(2, 3\); it has to be \(2, 4\)"),
    ],
)
def test_what_is_wrong_is_named(relevant, words):
    with pytest.raises(InputError, match=words):
        build(relevant)
