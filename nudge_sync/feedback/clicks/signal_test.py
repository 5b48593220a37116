"""A test whether clicks carry any relevance at all, before a single one of them counts."""

from __future__ import annotations

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import betaln, expit

from nudge_sync.base.arrays import Float32, Float64, Int64
from nudge_sync.base.threads import map_in_threads
from nudge_sync.feedback.clicks.impressions.counts import Impressions, count_by_rank
from nudge_sync.feedback.clicks.impressions.pairs import Pairs
from nudge_sync.feedback.clicks.neighbours import compute_neighbour_features

BETA_CONCENTRATIONS = np.geomspace(0.5, 500, 13)
"""Concentrations a + b that are tried for the beta distribution of click rates; small is wide."""
_MIN_RATE, _MAX_RATE = 1e-6, 0.98
_SCALING_ROUNDS = 2
_MIN_QUERIES_PER_POINT = 5
"""Below this many queries, a point that is always clicked and one that is relevant to all of its
queries look the same."""
_FEATURE_COLUMN = 1
"""The column of `compute_neighbour_features` that is tested: the middle one of the kernels."""


def estimate_click_signal(vectors: Float32, impressions: Impressions, pairs: Pairs) -> float:
    """Return the probability, 0 to 1, that clicks depend on the pair of a query and a point.

    vectors: (groups, d), unit rows.
    The null hypothesis is that ranks, queries and points each have a click rate of their own and
    that nothing else matters; then clicks say nothing about relevance, however many there are. Two
    log likelihood ratios speak against it, and the larger one counts: pairs are clicked again more
    or less often than chance allows, and similar queries lead to clicks on the same point. Half the
    logarithm of the number of pairs is taken off as the price of the additional parameter, by the
    Bayesian information criterion (Schwarz 1978).
    """
    shown, clicked = pairs.sum(impressions.shown), pairs.sum(impressions.clicked)
    if not clicked.any():
        return 0.0
    expected_rate = predict_clicks(impressions, pairs) / shown
    evidence = max(
        _find_evidence_in_repeats(shown, clicked, expected_rate),
        _find_evidence_in_neighbours(vectors, pairs, shown, clicked, expected_rate),
    )
    return float(expit(evidence - np.log(len(pairs)) / 2))


def predict_clicks(impressions: Impressions, pairs: Pairs) -> Float64:
    """Return the clicks of each pair that its ranks, its query and its point explain, (p,).

    The model of the null hypothesis: shown * rate of the rank * ratio of the query * ratio of the
    point, where the rate never increases with the rank.
    """
    shown, clicked = pairs.sum(impressions.shown), pairs.sum(impressions.clicked)
    expected_clicks = pairs.sum(
        impressions.shown * _click_rates_by_rank(impressions)[impressions.rank]
    )
    has_many_queries = np.bincount(pairs.point)[pairs.point] >= _MIN_QUERIES_PER_POINT
    for _ in range(_SCALING_ROUNDS):
        expected_clicks = expected_clicks * _shrink_click_ratios(
            pairs.query_group, clicked, expected_clicks
        )
        expected_clicks = np.where(
            has_many_queries,
            expected_clicks * _shrink_click_ratios(pairs.point, clicked, expected_clicks),
            expected_clicks,
        )
    return np.asarray(np.clip(expected_clicks, _MIN_RATE * shown, _MAX_RATE * shown))


def _shrink_click_ratios(keys: Int64, clicked: Float64, expected_clicks: Float64) -> Float64:
    """Return the ratio of clicks to expected clicks of each pair's key, shrunk towards 1, (p,).

    (clicked + 1/v) / (expected + 1/v), the posterior mean of a gamma prior of mean 1 whose variance
    v is estimated from all keys by the method of moments.
    """
    clicked_by_key, expected_by_key = (
        np.bincount(keys, weights=clicked),
        np.bincount(keys, weights=expected_clicks),
    )
    variance = max(
        float(((clicked_by_key - expected_by_key) ** 2 - expected_by_key).sum()), _MIN_RATE
    ) / max(float(expected_by_key @ expected_by_key), _MIN_RATE)
    return np.asarray(((clicked_by_key + 1 / variance) / (expected_by_key + 1 / variance))[keys])


def _click_rates_by_rank(impressions: Impressions) -> Float64:
    """Return the click rate of each rank, (MAX_RANK + 1,), never increasing from rank 1 on."""
    shown, clicked = count_by_rank(impressions)
    click_rate = clicked / np.maximum(shown, _MIN_RATE)
    click_rate[1:] = isotonic_regression(
        click_rate[1:], weights=shown[1:] + _MIN_RATE, increasing=False
    ).x
    return np.asarray(click_rate)


def _find_evidence_in_repeats(shown: Float64, clicked: Float64, expected_rate: Float64) -> float:
    """Return the log likelihood gained when each pair's click rate may differ from the expected.

    Beta-binomial, with mean `expected_rate` and the best concentration, against binomial.
    """
    unclicked = np.maximum(shown - clicked, 0)
    binomial_log_likelihood = float(
        (clicked * np.log(expected_rate) + unclicked * np.log1p(-expected_rate)).sum()
    )

    def beta_binomial_log_likelihood(concentration: float) -> float:
        a, b = expected_rate * concentration, (1 - expected_rate) * concentration
        return float((betaln(clicked + a, unclicked + b) - betaln(a, b)).sum())

    return (
        max(map_in_threads(beta_binomial_log_likelihood, BETA_CONCENTRATIONS.tolist()))
        - binomial_log_likelihood
    )


def _find_evidence_in_neighbours(
    vectors: Float32, pairs: Pairs, shown: Float64, clicked: Float64, expected_rate: Float64
) -> float:
    """Return the log likelihood gained when residuals of similar queries predict a pair's clicks.

    A score test of the coefficient of the neighbour feature: U^2 / (2 V) of the score U and its
    variance V, or 0 where neighbours contradict each other (U <= 0).
    """
    residual = clicked - shown * expected_rate
    feature = compute_neighbour_features(vectors, pairs, residual)[:, _FEATURE_COLUMN]
    variance = float((shown * expected_rate * (1 - expected_rate) * feature**2).sum())
    score = float((residual * feature).sum())
    return score**2 / (2 * variance) if score > 0 and variance > 0 else 0.0
