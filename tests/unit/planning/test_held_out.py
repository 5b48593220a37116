"""Measuring through an index gives what arithmetic gives, and splits stay where they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random_array

from nudge_sync.connector.vectors import angles, is_same_vector
from nudge_sync.metrics import METRIC_NAMES, RANKING_DEPTH
from nudge_sync.planning.held_out import hash_queries, score_ranked_grades
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
    order = np.argsort(-(queries @ points.T), axis=1)[:, :RANKING_DEPTH]
    gains = np.maximum(np.take_along_axis(relevance.toarray(), order, axis=1), 0)
    found = score_ranked_grades(gains, relevance)
    nobody = np.full((40, RANKING_DEPTH), -np.inf, np.float32)
    for name in METRIC_NAMES:
        expected = metric_values(points, JudgedQueries(queries, relevance, nobody), name)
        assert found[name] == pytest.approx(expected)


def test_a_query_asked_twice_stays_on_one_side_of_every_split() -> None:
    queries = np.random.default_rng(0).normal(size=(2000, 16)).astype(np.float32)
    share = hash_queries(queries)
    assert (share == hash_queries(queries.copy())).all()
    assert ((share >= 0) & (share < 1)).all()
    assert np.mean(share < 0.2) == pytest.approx(0.2, abs=0.03)


def test_same_is_bit_for_bit_unless_the_collection_rescales() -> None:
    left = np.array([[0.0, 1.0], [0.5, 0.5], [np.nan, 1.0]], np.float32)
    right = np.array(
        [[-0.0, 1.0], [0.5, np.nextafter(0.5, 1, dtype=np.float32)], [np.nan, 1.0]], np.float32
    )
    assert is_same_vector(left, right, rescales=False).tolist() == [False, False, True]
    assert is_same_vector(left[:2], right[:2], rescales=True).tolist() == [True, True]


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1e-3, 1.0, np.pi / 2, 3.0])
def test_angles_are_right_also_where_they_are_small(angle: float) -> None:
    left = np.array([[2.0, 0.0, 0.0]], np.float32)
    right = np.array([[3 * np.cos(angle), 3 * np.sin(angle), 0.0]], np.float32)
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        assert angles(left, right)[0] == pytest.approx(angle, rel=1e-6, abs=1e-12)
        assert angles(left, np.zeros_like(left))[0] == pytest.approx(np.pi / 2)
