"""Measuring through an index gives what arithmetic gives, and splits stay where they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random_array

from nudge_sync.planning.held_out import (
    METRIC_NAMES,
    SEARCH_DEPTH,
    hash_queries,
    score_ranked_grades,
)
from nudge_sync.solve.problem import JudgedQueries
from nudge_sync.solve.score import metric_values


def test_ranked_lists_score_what_vectors_score() -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(size=(60, 8)).astype(np.float32)
    queries = rng.normal(size=(40, 8)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    relevance = csr_matrix(random_array((40, 60), density=0.1, rng=rng))
    relevance.data = rng.integers(-1, 4, relevance.nnz).astype(float)
    order = np.argsort(-(queries @ points.T), axis=1)[:, :SEARCH_DEPTH]
    gains = np.maximum(np.take_along_axis(relevance.toarray(), order, axis=1), 0)
    found = score_ranked_grades(gains, relevance)
    nobody = np.full((40, SEARCH_DEPTH), -np.inf, np.float32)
    for name in METRIC_NAMES:
        expected = metric_values(points, JudgedQueries(queries, relevance, nobody), name)
        assert found[name] == pytest.approx(expected)


def test_a_query_asked_twice_stays_on_one_side_of_every_split() -> None:
    queries = np.random.default_rng(0).normal(size=(2000, 16)).astype(np.float32)
    share = hash_queries(queries)
    assert (share == hash_queries(queries.copy())).all()
    assert ((share >= 0) & (share < 1)).all()
    assert np.mean(share < 0.2) == pytest.approx(0.2, abs=0.03)
