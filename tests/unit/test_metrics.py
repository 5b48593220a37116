"""Metrics against trec_eval's figures, and by their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from nudge_sync import metrics
from nudge_sync.errors import InputError
from nudge_sync.solve.geometry import unit
from nudge_sync.solve.problem import JudgedQueries
from nudge_sync.solve.score import metric_values
from nudge_sync.solve.topk import find_top_k


def trec_eval(queries, documents, relevance, name):
    """trec_eval's own figures for a full ranking by dot product."""
    scores = queries @ documents.T
    qrels, run = {}, {}
    for query, row in enumerate(relevance.toarray()):
        qrels[str(query)] = {str(one): int(row[one]) for one in np.flatnonzero(row)}
        run[str(query)] = {str(one): float(scores[query, one]) for one in range(len(documents))}
    found = pytrec_eval.RelevanceEvaluator(qrels, {name}).evaluate(run)
    return np.array([next(iter(found[str(query)].values())) for query in range(len(queries))])


def problem(seed, n=60, q=12, d=8, highest=3):
    random = np.random.default_rng(seed)
    documents = unit(random.normal(size=(n, d))).astype(np.float32)
    queries = unit(random.normal(size=(q, d))).astype(np.float32)
    grades = random.integers(1, highest + 1, (q, n)) * (random.random((q, n)) < 0.15)
    grades[:, 0] = 1
    return documents, queries, csr_matrix(grades.astype(float))


@pytest.mark.parametrize("seed", range(5))
def test_ndcg_is_trec_evals(seed):
    documents, queries, relevance = problem(seed)
    unjudged = np.full((len(queries), 10), -np.inf, np.float32)
    ours = metric_values(documents, JudgedQueries(queries, relevance, unjudged), "ndcg@10")
    np.testing.assert_allclose(ours, trec_eval(queries, documents, relevance, "ndcg_cut_10"))


@pytest.mark.parametrize("seed", range(5))
def test_mrr_is_trec_evals_where_an_answer_is_in_the_first_ten(seed):
    documents, queries, relevance = problem(seed)
    unjudged = np.full((len(queries), 10), -np.inf, np.float32)
    ours = metric_values(documents, JudgedQueries(queries, relevance, unjudged), "mrr@10")
    theirs = trec_eval(queries, documents, relevance, "recip_rank")
    np.testing.assert_allclose(ours, np.where(theirs >= 0.1, theirs, 0))


@pytest.mark.parametrize("name", ["recall@10", "recall@1"])
def test_recall_is_trec_evals_over_what_can_be_reached(name):
    documents, queries, relevance = problem(3)
    depth = int(name.split("@")[1])
    unjudged = np.full((len(queries), depth), -np.inf, np.float32)
    ours = metric_values(documents, JudgedQueries(queries, relevance, unjudged), name)
    hits = trec_eval(queries, documents, relevance, f"P_{depth}") * depth
    many = np.asarray((relevance > 0).sum(axis=1)).ravel()
    np.testing.assert_allclose(ours, hits / np.minimum(many, depth))


@given(st.integers(0, 10_000), st.sampled_from(["ndcg@10", "recall@3", "mrr@10", "ndcg@1"]))
def test_judged_and_unjudged_apart_measure_like_all_together(seed, name):
    documents, queries, relevance = problem(seed)
    judged = np.unique(relevance.indices)
    depth = metrics.parse_metric(name).depth
    whole = JudgedQueries(queries, relevance, np.full((len(queries), depth), -np.inf, np.float32))
    rest = find_top_k(queries, documents, depth, skip=judged).scores
    apart = JudgedQueries(queries, relevance[:, judged], rest)
    np.testing.assert_allclose(
        metric_values(documents[judged], apart, name), metric_values(documents, whole, name)
    )


def test_a_query_without_an_answer_has_zero_and_divides_nothing():
    documents, queries, relevance = problem(0)
    empty = csr_matrix(relevance.shape)
    unjudged = np.full((len(queries), 10), -np.inf, np.float32)
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        values = metric_values(documents, JudgedQueries(queries, empty, unjudged), "ndcg@10")
    assert (values == 0).all()


@pytest.mark.parametrize("name", ["ndcg", "map@10", "ndcg@0", "ndcg@10 ", "recall@-1"])
def test_an_unknown_metric_is_an_input_error(name):
    with pytest.raises(InputError, match=r"ndcg@10"):
        metrics.parse_metric(name)


def test_discounts_fall_with_the_rank_and_end_in_zero():
    assert metrics.parse_metric("ndcg@3").discounts() == pytest.approx([1, 1 / np.log2(3), 0.5, 0])
    assert metrics.parse_metric("recall@2").discounts().tolist() == [1, 1, 0]
    assert metrics.parse_metric("mrr@3").discounts() == pytest.approx([1, 1 / 2, 1 / 3, 0])


def test_only_grades_above_zero_are_gains_and_only_ndcg_takes_their_height():
    grades = [3.0, 0.5, 0.0, -2.0]

    assert metrics.parse_metric("ndcg@10").gains(grades).tolist() == [3.0, 0.5, 0.0, 0.0]
    assert metrics.parse_metric("recall@10").gains(grades).tolist() == [1.0, 1.0, 0.0, 0.0]


def test_the_metrics_of_a_collection_look_no_deeper_than_the_ranking():
    depths = [metrics.parse_metric(name).depth for name in metrics.METRIC_NAMES]

    assert max(depths) == metrics.RANKING_DEPTH
    assert [str(metrics.parse_metric(name)) for name in metrics.METRIC_NAMES] == [
        *metrics.METRIC_NAMES
    ]
