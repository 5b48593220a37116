"""Metrics from vectors equal those of a full sort."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from nudge_sync import metrics
from nudge_sync.solve.geometry import unit
from nudge_sync.solve.problem import JudgedQueries
from nudge_sync.solve.score import metric_values, score_metrics


def score_by_sorting(points, queries, name, excluded):
    """The metric by a full stable sort, unjudged points first."""
    metric = metrics.parse_metric(name)
    values = []
    for vector, grades, unjudged, left_out in zip(
        queries.vectors, queries.relevance.toarray(), queries.unjudged, excluded, strict=True
    ):
        scores = np.append(unjudged, np.where(left_out, -np.inf, points @ vector))
        gains = np.append(np.zeros(len(unjudged)), metric.gains(grades))
        ranked = gains[np.argsort(-scores, kind="stable")][: metric.depth]
        found = ranked * metric.discounts()[: len(ranked)]
        best = -np.sort(-gains)[: metric.depth]
        best = best * metric.discounts()[: len(best)]
        total, ideal = ((one.max() if metric.kind == "mrr" else one.sum()) for one in (found, best))
        values.append(total / ideal if ideal > 0 else 0.0)
    return np.array(values)


@pytest.mark.parametrize("name", ["ndcg@10", "ndcg@3", "recall@5", "recall@1", "mrr@10"])
@pytest.mark.parametrize("seed", range(4))
def test_a_metric_is_that_of_a_full_sort(name, seed):
    random = np.random.default_rng(seed)
    points = unit(random.normal(size=(40, 6))).astype(np.float32)
    vectors = unit(random.normal(size=(25, 6))).astype(np.float32)
    grades = random.integers(-1, 4, (25, 40)) * (random.random((25, 40)) < 0.1)
    unjudged = -np.sort(-random.uniform(-1, 1, (25, 10)), axis=1).astype(np.float32)
    unanswered = (grades <= 0) & (random.random((25, 40)) < 0.3)
    for excluded in (np.zeros_like(unanswered), unanswered):
        queries = JudgedQueries(
            vectors, csr_matrix(grades.astype(float)), unjudged, csr_matrix(excluded)
        )
        np.testing.assert_allclose(
            metric_values(points, queries, name, similarity="dot"),
            score_by_sorting(points, queries, name, excluded),
        )


def test_an_unjudged_point_of_the_same_score_ranks_first():
    points = np.array([[1.0, 0.0]], np.float32)
    tied = JudgedQueries(points, csr_matrix([[1.0]]), np.array([[1.0]], np.float32))
    ahead = JudgedQueries(points, csr_matrix([[1.0]]), np.array([[0.5]], np.float32))
    assert metric_values(points, tied, "recall@1").tolist() == [0.0]
    assert metric_values(points, ahead, "recall@1").tolist() == [1.0]


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_one_ranking_gives_every_metric(similarity):
    random = np.random.default_rng(5)
    points = random.normal(size=(40, 6)).astype(np.float32)
    relevance = csr_matrix(np.where(random.random((30, 40)) < 0.1, 1.0, 0.0))
    unjudged = -np.sort(-random.normal(size=(30, 10)), axis=1).astype(np.float32)
    queries = JudgedQueries(random.normal(size=(30, 6)).astype(np.float32), relevance, unjudged)
    scores = score_metrics(points, queries, metrics.METRIC_NAMES, similarity=similarity)
    for name in metrics.METRIC_NAMES:
        alone = metric_values(points, queries, name, similarity=similarity)
        np.testing.assert_array_equal(scores[name], alone)
