"""The sparse softmax over near points equals the formula over all of them, or nearly so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from nudge_sync.solve.nudge_c import NudgeCSettings, build_nudge_c_inputs, contrast
from nudge_sync.solve.sparse_softmax import find_near_pairs, join_scores, sum_responsibilities
from tests.support.solver_problems import make_contrast_problem


def compute_responsibilities(points, inputs, tau):
    """r_ij by its definition: (q, n)."""
    odds = np.exp(tau * (inputs.queries @ points.T).astype(np.float64))
    weights = inputs.positive_weights.toarray()
    answers = weights > 0
    others = (odds * ~answers).sum(axis=1) + np.exp(tau * inputs.unjudged_scores).sum(axis=1)
    own = weights / (odds + others[:, None])
    shares = np.where(answers, own * odds, odds * own.sum(axis=1)[:, None])
    return shares + inputs.negative_weights.toarray() * np.where(answers, 0, odds / others[:, None])


@pytest.mark.parametrize("seed", range(5))
def test_responsibilities_over_all_pairs_are_those_of_the_formula(seed):
    points, queries, grades, rivals = make_contrast_problem(seed)
    inputs = build_nudge_c_inputs(
        queries, csr_matrix((grades > 0) * 1.0), csr_matrix((grades < 0) * 1.0), rivals
    )
    pairs = find_near_pairs(queries, points, inputs.positive_weights, inputs.negative_weights)
    assert len(pairs.query) == len(queries) * len(points)
    summed, mass = sum_responsibilities(points, queries, pairs, rivals, 9.0)
    expected = compute_responsibilities(points, inputs, 9.0)
    np.testing.assert_allclose(mass, expected.sum(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(summed, expected.T @ queries, rtol=1e-3, atol=1e-5)


def test_a_query_competes_over_its_nearest_points_and_those_it_judges(monkeypatch):
    points, queries, grades, _ = make_contrast_problem(0)
    monkeypatch.setattr("nudge_sync.solve.sparse_softmax.NEAREST_PER_QUERY", 3)
    positive, negative = (csr_matrix((side > 0) * 1.0) for side in (grades, -grades))
    pairs = find_near_pairs(queries, points, positive, negative)
    nearest = np.argsort(-queries @ points.T, axis=1)[:, :3]
    for query in range(len(queries)):
        own = pairs.point[pairs.starts[query] : pairs.starts[query + 1]]
        assert set(own) == set(nearest[query]) | set(np.flatnonzero(grades[query]))


def test_few_near_points_move_almost_like_all_points(monkeypatch):
    points, queries, grades, rivals = make_contrast_problem(5, n=100, q=60)
    inputs = build_nudge_c_inputs(
        queries, csr_matrix((grades > 0) * 1.0), csr_matrix((grades < 0) * 1.0), rivals
    )
    whole = contrast(points, inputs, NudgeCSettings(20.0))
    monkeypatch.setattr("nudge_sync.solve.nudge_c.MAX_DENSE_PAIRS", 0)
    np.testing.assert_allclose(contrast(points, inputs, NudgeCSettings(20.0)), whole, atol=1e-4)
    monkeypatch.setattr("nudge_sync.solve.sparse_softmax.NEAREST_PER_QUERY", 60)
    few = contrast(points, inputs, NudgeCSettings(20.0))
    assert np.einsum("ij,ij->i", few, whole).mean() > 0.99


def test_the_joint_score_weighs_as_much_as_all_scores_together():
    random = np.random.default_rng(0)
    queries, vectors = (random.normal(size=(n, 6)).astype(np.float32) for n in (5, 9))
    unjudged = random.normal(size=(5, 3)).astype(np.float32)
    unjudged[0] = unjudged[1, 1:] = -np.inf
    joint = join_scores(queries, vectors, unjudged, 3.0)
    scores = np.concatenate([queries @ vectors.T, unjudged], axis=1)
    np.testing.assert_allclose(joint, np.log(np.exp(3 * scores).sum(axis=1)) / 3, rtol=1e-5)
    alone = join_scores(queries, vectors[:0], unjudged, 3.0)
    assert np.isneginf(alone[0])
    assert np.isfinite(alone[1:]).all()
    assert alone[1] == pytest.approx(unjudged[1, 0])
