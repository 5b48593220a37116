"""What similar queries say of a point."""

import numpy as np

from nudge_sync.feedback.clicks import neighbours
from nudge_sync.feedback.clicks.impressions.pairs import Pairs
from nudge_sync.feedback.clicks.neighbours import (
    KERNEL_SHARPNESS,
    SHRINKAGE,
    compute_neighbour_features,
    fit_log_odds,
)
from tests.support.simulated_clicks import unit_rows


def make_pairs(group, point):
    return Pairs(np.arange(len(group)), group, point, np.ones(len(group), np.int64))


def test_near_queries_are_evidence_for_each_other_and_far_ones_are_not():
    vectors = np.array([[1, 0], [1, 0], [-1, 0]], np.float32)
    pairs = make_pairs(np.arange(3), np.zeros(3, np.int64))
    features = compute_neighbour_features(vectors, pairs, np.array([0.0, 0.9, -0.9]))
    assert features[0, 0] > 0.6
    assert abs(features[2, 2]) < 0.01


def test_features_are_shrunken_means_over_the_other_rows():
    rng = np.random.default_rng(0)
    vectors = unit_rows(rng.normal(size=(12, 4)))
    group, point = np.array(sorted({(g, p) for g in range(12) for p in rng.choice(6, 3)})).T
    residual = rng.uniform(-1, 1, len(group))
    features = compute_neighbour_features(vectors, make_pairs(group, point), residual)
    for row in range(len(group)):
        same_point = (point == point[row]) & (np.arange(len(group)) != row)
        same_query = (group == group[row]) & (np.arange(len(group)) != row)
        cosine = vectors[group] @ vectors[group[row]]
        kernel = np.exp(KERNEL_SHARPNESS * (cosine - 1)) * same_point
        weights = [kernel, kernel**2, kernel**4, same_point * 1.0, same_query * 1.0]
        expected = [weight @ residual / (weight.sum() + SHRINKAGE) for weight in weights]
        np.testing.assert_allclose(features[row], expected, atol=1e-5)


def test_of_very_many_queries_those_with_the_largest_residuals_count(monkeypatch):
    vectors = np.ones((4, 1), np.float32)
    pairs = make_pairs(np.arange(4), np.zeros(4, np.int64))
    residual = np.array([0.1, -0.9, 0.8, 0.0])
    monkeypatch.setattr(neighbours, "_MAX_NEIGHBOURS", 2)
    features = compute_neighbour_features(vectors, pairs, residual)
    np.testing.assert_allclose(features[3, 0], (0.8 - 0.9) / (2 + SHRINKAGE), atol=1e-6)


def test_a_feature_that_goes_with_relevance_is_trusted_and_noise_is_not():
    rng = np.random.default_rng(0)
    features = rng.uniform(-1, 1, (3000, 2))
    relevance = (rng.random(3000) < 1 / (1 + np.exp(1 - 3 * features[:, 0]))).astype(np.float64)
    log_odds = fit_log_odds(np.full(3000, -1.0), features, relevance)
    slope = np.linalg.lstsq(np.c_[features, np.ones(3000)], log_odds, rcond=None)[0]
    np.testing.assert_allclose(slope, [3, 0, -1], atol=0.25)
