"""Whether clicks tell answers from others at all, before any single one is believed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import betaln, expit

from nudge_sync.base.arrays import Float64
from nudge_sync.base.threads import map_in_threads
from nudge_sync.connector import Float32
from nudge_sync.feedback.clicks.impressions import MAX_RANK, Impressions
from nudge_sync.feedback.clicks.neighbours import compute_neighbour_features
from nudge_sync.feedback.clicks.pbm import Pairs

BETA_CONCENTRATIONS = np.geomspace(0.5, 500, 13)
"""Of the beta distribution that a pair's click rate may be drawn from; small is wide."""
_MIN_RATE, _MAX_RATE = 1e-6, 0.98
_SCALING_ROUNDS = 2
_MIN_QUERIES_PER_POINT = 5
"""A point on fewer queries than this cannot be told to be clicked whatever is asked."""
_FEATURE_COLUMN = 1
"""Column of `hints`."""


def estimate_click_signal(vectors: Float32, impressions: Impressions, pairs: Pairs) -> float:
    """How likely it is, from 0 to 1, that clicks go with pairs of a query and a point.

    Against it stands that they go with places, with queries that draw more clicks, and with points
    that do, each on its own: then nobody knows what answers what, however many clicks there are.
    Two signs are looked for, and the plainer one counts, less what a sign of its size costs by the
    Bayesian information criterion (Schwarz 1978):
    the same pair is clicked again more often, or less, than chance allows; and who is asked
    something alike clicks on the same point.
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
    """(p,): the clicks of each pair that places, queries and points explain each on its own.

    No place is taken to be looked at more than one above it.
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


def _shrink_click_ratios(
    keys: NDArray[np.int64], clicked: Float64, expected_clicks: Float64
) -> Float64:
    """(p,): by how much each key draws more clicks than expected, as far as chance would not.

    The mean of a gamma distribution whose spread is taken from how all keys differ.
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
    shown = np.bincount(impressions.rank, weights=impressions.shown, minlength=MAX_RANK + 1)
    clicked = np.bincount(impressions.rank, weights=impressions.clicked, minlength=MAX_RANK + 1)
    click_rate = clicked / np.maximum(shown, _MIN_RATE)
    click_rate[1:] = isotonic_regression(
        click_rate[1:], weights=shown[1:] + _MIN_RATE, increasing=False
    ).x
    return np.asarray(click_rate)


def _find_evidence_in_repeats(shown: Float64, clicked: Float64, expected_rate: Float64) -> float:
    """The log likelihood that is gained where pairs may differ in their rate: beta-binomial."""
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
    """Likewise, where similar queries may speak for each other on a point: a score test."""
    residual = clicked - shown * expected_rate
    feature = compute_neighbour_features(vectors, pairs, residual)[:, _FEATURE_COLUMN]
    variance = float((shown * expected_rate * (1 - expected_rate) * feature**2).sum())
    score = float((residual * feature).sum())
    return score**2 / (2 * variance) if score > 0 and variance > 0 else 0.0
