"""Documents that answer the same queries: found as brute force does, and brought nearer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from nudge_sync.solve import co_relevance
from nudge_sync.solve.co_relevance import find_co_relevant_points, has_co_relevant_points
from nudge_sync.solve.nudge_c import NudgeCSettings, contrast
from nudge_sync.solve.nudge_c_inputs import build_nudge_c_inputs
from tests.support.solver_problems import make_topics


def find_by_brute_force(weights):
    """The shares as the head of `co_relevance` writes them, pair by pair."""
    count = weights.shape[1]
    shares = np.zeros((count, count))
    for point in range(count):
        for other in set(range(count)) - {point}:
            both = sum(row[point] * row[other] / row.sum() for row in weights if row.sum())
            shares[point, other] = both / np.sqrt(max(weights[:, other].sum(), 1e-300))
        best = sorted(range(count), key=lambda other: (-shares[point, other], other))
        shares[point, best[co_relevance.NEIGHBOURS :]] = 0
        shares[point] /= shares[point].sum() or 1
    return shares


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 30, 1 << 22]))
def test_neighbours_are_those_of_brute_force(seed, pairs_per_block):
    random = np.random.default_rng(seed)
    queries, points = random.integers(1, 30), random.integers(1, 25)
    weights = random.random((queries, points)) * (random.random((queries, points)) < 0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(co_relevance, "_PAIRS_PER_BLOCK", pairs_per_block)
        found = find_co_relevant_points(csr_matrix(weights)).toarray()
    np.testing.assert_allclose(found, find_by_brute_force(weights), atol=1e-12)
    assert has_co_relevant_points(csr_matrix(weights)) == bool(found.any())


def test_of_equals_the_first_are_kept():
    shares = find_co_relevant_points(csr_matrix(np.ones((1, 30)))).toarray()
    np.testing.assert_allclose(shares[0, 1:11], 0.1)
    assert np.count_nonzero(shares[0]) == 10


def test_only_the_heaviest_answers_of_a_query_are_looked_at(monkeypatch):
    monkeypatch.setattr(co_relevance, "MAX_ANSWERS", 3)
    shares = find_co_relevant_points(csr_matrix([[1.0, 5, 4, 3, 2]])).toarray()
    assert np.flatnonzero(shares.any(axis=0)).tolist() == [1, 2, 3]


def test_answers_of_different_queries_are_strangers():
    assert not has_co_relevant_points(csr_matrix(np.eye(4)))
    assert find_co_relevant_points(csr_matrix(np.eye(4))).nnz == 0
    assert find_co_relevant_points(csr_matrix((0, 0))).shape == (0, 0)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("cold_answers", [0.0, 0.35])
def test_queries_of_a_kind_that_was_never_asked_gain(similarity, cold_answers):
    documents, (asked, other_kind), relevance = make_topics(0)
    attraction = csr_matrix(relevance)
    rivals = np.full((len(asked), 1), 0.5, np.float32)

    def score(vectors):
        found = np.argsort(-(other_kind @ vectors.T), axis=1)[:, :6]
        return np.take_along_axis(relevance, found, axis=1).mean()

    scores = []
    for strength in (None, 1.0):
        shares = None if strength is None else strength * find_co_relevant_points(attraction)
        given_all = build_nudge_c_inputs(
            asked, attraction, csr_matrix(attraction.shape), rivals, shares
        )
        moved = contrast(
            documents, given_all, NudgeCSettings(8.0, cold_answers=cold_answers), similarity
        )
        scores.append(score(moved))
    assert scores[1] > max(score(documents), scores[0]) + 0.05


def test_no_point_moves_that_no_query_judges():
    documents, (asked, _), relevance = make_topics(1)
    relevance[:, 7:20] = 0
    attraction = csr_matrix(relevance)
    rivals = np.full((len(asked), 1), 0.5, np.float32)
    shares = find_co_relevant_points(attraction)
    given_all = build_nudge_c_inputs(
        asked, attraction, csr_matrix(attraction.shape), rivals, shares
    )
    moved = contrast(documents, given_all, NudgeCSettings(8.0))
    assert moved[7:20].tobytes() == documents[7:20].tobytes()
    assert (moved[:7] != documents[:7]).any(axis=1).all()
