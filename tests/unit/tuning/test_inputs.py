"""Arrays are checked, scaled and scored before the solver sees them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from nudge_sync.errors import InputError
from nudge_sync.tuning.inputs import (
    QuerySet,
    build_weights,
    check_documents,
    read_judged_rows,
    scale_queries,
    score_unjudged,
    select_judged_columns,
)

DOCUMENTS = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
QUERIES = scale_queries(np.random.default_rng(1).normal(size=(6, 4)), DOCUMENTS, "train_queries")
JUDGED = np.array([2, 5, 7])
ALL = np.ones(len(QUERIES), np.bool_)


def scan_unjudged(queries, documents, depth):
    """The best scores among documents that nobody judged, by cosine."""
    units = documents / np.linalg.norm(documents, axis=1, keepdims=True)
    scores = np.delete(queries @ units.T, JUDGED, axis=1)
    return -np.sort(-scores, axis=1)[:, :depth]


def test_queries_come_out_at_unit_length_and_none_is_no_query():
    np.testing.assert_allclose(np.linalg.norm(QUERIES, axis=1), 1, rtol=1e-6)
    assert scale_queries(None, DOCUMENTS, "x").shape == (0, 4)
    assert scale_queries([], DOCUMENTS, "x").shape == (0, 4)


@pytest.mark.parametrize(
    ("queries", "words"),
    [
        (np.zeros((1, 4)), r"x\[0\] is zero or not finite"),
        ([[1, 2, 3, np.nan]], r"x\[0\] is zero or not finite"),
        (np.full((1, 4), 1e38), r"x\[0\] is zero or not finite"),
        (np.ones((2, 3)), "both have to come from one model"),
        (np.ones(4), "both have to come from one model"),
        ([["1", "2", "3", "4"]], "x have to be numbers"),
        (np.ones((1, 4), complex), "x have to be numbers"),
        ([[1, 2, 3, None]], "x have to be numbers"),
        ([[1, 2, 3, 4], [1]], "x have to be numbers"),
    ],
)
def test_queries_without_a_direction_or_of_another_model_are_refused(queries, words):
    with pytest.raises(InputError, match=words):
        scale_queries(queries, DOCUMENTS, "x")


def test_documents_are_not_copied_and_have_to_be_numbers():
    assert check_documents(DOCUMENTS) is DOCUMENTS
    for wrong in (np.ones(3), np.ones((3, 0)), np.array([["a", "b"]]), [[1, 2], [1]]):
        with pytest.raises(InputError, match="documents have to be numbers"):
            check_documents(wrong)


def test_judged_rows_are_read_and_have_to_be_finite():
    np.testing.assert_array_equal(read_judged_rows(DOCUMENTS, JUDGED), DOCUMENTS[JUDGED])
    broken = DOCUMENTS.astype(np.float64)
    broken[5] = 1e300
    with pytest.raises(InputError, match=r"documents\[5\] is judged"):
        read_judged_rows(broken, JUDGED)


def test_unjudged_scores_are_those_of_a_scan():
    found = score_unjudged(DOCUMENTS, QUERIES, JUDGED, 5, None, ALL, "cosine")

    np.testing.assert_allclose(found, scan_unjudged(QUERIES, DOCUMENTS, 5), rtol=1e-5)


def test_fixed_documents_are_unjudged_ones_and_queries_that_do_not_matter_are_not_scored():
    needs_scores = np.arange(len(QUERIES)) < 3

    found = score_unjudged(
        DOCUMENTS[:20], QUERIES, JUDGED, 5, None, needs_scores, "cosine", DOCUMENTS[20:]
    )

    np.testing.assert_allclose(found[:3], scan_unjudged(QUERIES, DOCUMENTS, 5)[:3], rtol=1e-5)
    assert np.isneginf(found[3:]).all()


@pytest.mark.parametrize("with_scores", [False, True])
def test_candidates_of_the_last_queries_stand_for_a_scan(with_scores):
    units = DOCUMENTS / np.linalg.norm(DOCUMENTS, axis=1, keepdims=True)
    scores = QUERIES @ units.T
    rows = np.argsort(-scores[4:], axis=1)[:, :20]
    candidates = (rows, np.take_along_axis(scores[4:], rows, axis=1)) if with_scores else rows

    found = score_unjudged(DOCUMENTS, QUERIES, JUDGED, 5, candidates, ALL, "cosine")

    np.testing.assert_allclose(found[4:], scan_unjudged(QUERIES, DOCUMENTS, 5)[4:], rtol=1e-5)
    assert np.isneginf(found[:4]).all()


def test_candidates_that_do_not_fit_are_refused():
    for wrong in (np.zeros(3, int), np.zeros((7, 2), int), np.full((2, 2), 50), np.ones((2, 2))):
        with pytest.raises(InputError, match="rows of documents"):
            score_unjudged(DOCUMENTS, QUERIES, JUDGED, 5, wrong, ALL, "cosine")
    with pytest.raises(InputError, match="rows but"):
        score_unjudged(
            DOCUMENTS, QUERIES, JUDGED, 5, (np.zeros((2, 2), int), np.ones((2, 3))), ALL, "cosine"
        )


RELEVANCE = csr_matrix(np.array([[1.0, 0, 0], [0, 2.0, 0], [0, 1.0, 1.0]]))
"""Two training queries and a validation query, over the judged rows."""


def weigh(train_weights, validation_weights=None):
    return build_weights(
        QuerySet(None, None, train_weights),
        QuerySet(None, None, validation_weights),
        np.array([True, True, False]),
        RELEVANCE,
        JUDGED,
        50,
    )


def test_validation_queries_weigh_one_unless_weights_say_otherwise():
    assert weigh(None) is None
    for per_query in (np.array([2, 3]), [2.0, 3], (np.float32(2), np.int64(3))):
        assert weigh(per_query).tolist() == [2.0, 3.0, 1.0]
    assert weigh([{2: 0.5}, {5: 2.0}]).toarray().tolist() == [[0.5, 0, 0], [0, 2, 0], [0, 1, 1]]
    assert weigh([{2: 0.5}, {5: 2.0}], [{7: 0.3}]).toarray().tolist() == [
        [0.5, 0, 0],
        [0, 2, 0],
        [0, 0, 0.3],
    ]


def test_weights_that_do_not_fit_are_refused():
    for wrong in (np.ones(3), [1.0, 1.0, 1.0]):
        with pytest.raises(InputError, match="train_weights are 3 for 2 training queries"):
            weigh(wrong)
    with pytest.raises(InputError, match="train_weights name a row that is judged by no query"):
        weigh([{1: 1.0}, {}])
    with pytest.raises(InputError, match="validation_weights name a row"):
        weigh([{2: 1.0}, {}], [{1: 1.0}])


def test_judged_columns_keep_their_entries():
    wide = csr_matrix(([1.0, 0.0, 3.0], ([0, 0, 1], [2, 7, 5])), shape=(2, 50))

    narrow = select_judged_columns(wide, JUDGED)

    assert narrow.shape == (2, 3)
    assert (narrow.indices.tolist(), narrow.data.tolist()) == ([0, 2, 1], [1.0, 0.0, 3.0])
