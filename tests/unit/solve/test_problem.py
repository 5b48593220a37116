"""Queries, judgements and vectors that do not fit together are an InputError that says why."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from nudge_sync.errors import InputError
from nudge_sync.solve.problem import JudgedQueries, check_finite, check_judged_queries

POINTS = np.eye(3, dtype=np.float32)
QUERIES = JudgedQueries(POINTS[:2], csr_matrix((2, 3)), np.full((2, 4), -np.inf, np.float32))


def test_selected_queries_keep_their_judgements_and_scores_together():
    numbered = JudgedQueries(
        POINTS, csr_matrix(np.diag([1.0, 2, 3])), np.array([[1.0], [2], [3]], np.float32)
    )
    for rows in (np.array([2, 0]), np.array([True, False, True])):
        some = numbered.select(rows)
        assert len(some) == 2
        np.testing.assert_array_equal(some.vectors, POINTS[rows])
        np.testing.assert_array_equal(some.relevance.toarray().max(axis=1), some.unjudged[:, 0])


def test_what_fits_together_passes():
    check_judged_queries(POINTS, QUERIES, depth=4)
    check_finite(POINTS, QUERIES.vectors)


@pytest.mark.parametrize(
    ("points", "depth", "message"),
    [
        (np.eye(4, dtype=np.float32), 4, "2|3 dimensions"),
        (POINTS[:2], 4, "relevance"),
        (POINTS, 5, "pad with -inf"),
    ],
)
def test_what_does_not_fit_together_says_what_is_wrong(points, depth, message):
    with pytest.raises(InputError, match=message):
        check_judged_queries(points, QUERIES, depth)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_an_input_error(value):
    with pytest.raises(InputError, match="NaN or infinity"):
        check_finite(np.full((2, 3), value, np.float32), POINTS)
