"""Grades by query and point: the ideal ranking, answers, and pairs that are judged twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix, csr_matrix

from nudge_sync import metrics
from nudge_sync.solve.relevance import (
    has_answer,
    ideal_scores,
    index_in_group,
    look_up_judgements,
    merge_duplicates,
)


def make_grades(seed, queries=12, points=20):
    random = np.random.default_rng(seed)
    return random.integers(-1, 4, (queries, points)) * (random.random((queries, points)) < 0.3)


@given(st.lists(st.integers(0, 4), min_size=0, max_size=20).map(sorted))
def test_an_index_counts_the_same_group_before_it(groups):
    expected = [groups[:place].count(group) for place, group in enumerate(groups)]
    assert index_in_group(np.array(groups, np.int64)).tolist() == expected


@pytest.mark.parametrize("name", ["ndcg@3", "recall@3", "mrr@3"])
@pytest.mark.parametrize("seed", range(5))
def test_no_ranking_of_a_query_is_better_than_the_ideal(name, seed):
    metric, grades = metrics.parse_metric(name), make_grades(seed)
    best = -np.sort(-np.maximum(grades, 0), axis=1)[:, :3]
    gains = np.array([metric.gains(row) for row in best]) * metric.discounts()[:3]
    expected = gains.max(axis=1) if metric.kind == "mrr" else gains.sum(axis=1)
    np.testing.assert_allclose(ideal_scores(csr_matrix(grades), metric), expected)


def test_a_pair_without_a_judgement_looks_up_as_zero():
    grades = make_grades(0)
    query, point = (one.ravel() for one in np.indices(grades.shape))
    values = look_up_judgements(csr_matrix(grades), query, point)
    np.testing.assert_array_equal(values, grades.ravel())
    nothing = look_up_judgements(csr_matrix(grades.shape), query, point)
    assert not nothing.any()


def test_only_a_positive_grade_is_an_answer():
    grades = csr_matrix([[0.0, 0.0], [-1.0, 0.0], [-1.0, 2.0]])
    assert has_answer(grades).tolist() == [False, False, True]


def test_a_pair_that_is_judged_twice_counts_with_its_sum_and_the_input_stays():
    twice = csr_matrix(([1.0, 2.0, 4.0], [2, 2, 0], [0, 3]), shape=(1, 3))
    merged = merge_duplicates(twice)
    assert merged.indices.tolist() == [0, 2]
    assert merged.data.tolist() == [4.0, 3.0]
    assert twice.nnz == 3
    assert coo_matrix(twice).data.tolist() == [1.0, 2.0, 4.0]
