"""The relevance of each pair by the estimator that the settings name: PBM, COEC or IPW."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from nudge_sync.base.arrays import Float32, Float64, Int64
from nudge_sync.feedback.clicks.bias.click_model import (
    DEFAULT_PRIOR,
    ClickModel,
    compute_log_likelihood_ratio,
    compute_prior_log_odds,
    compute_relevance_posterior,
)
from nudge_sync.feedback.clicks.bias.coec import compute_coec
from nudge_sync.feedback.clicks.bias.ipw import LoggedClicks, compute_ipw_click_rate
from nudge_sync.feedback.clicks.bias.pbm import fit_click_model
from nudge_sync.feedback.clicks.bots import is_outlier
from nudge_sync.feedback.clicks.impressions.counts import Impressions
from nudge_sync.feedback.clicks.impressions.pairs import Pairs, group_by_pair
from nudge_sync.feedback.clicks.neighbours import compute_neighbour_features, fit_log_odds
from nudge_sync.feedback.clicks.promoted import estimate_promotion_rates, find_points_without_topic
from nudge_sync.feedback.clicks.signal_test import estimate_click_signal
from nudge_sync.settings.feedback import FeedbackSettings

_COEC_PRIOR_STRENGTH = 2.0
"""The COEC ratio that is taken for a relevance of one half."""
_RELEVANCE_THRESHOLD = 0.5
_MAX_FITTED_IMPRESSIONS = 200_000
"""Rows of impressions that the click model is fitted to; more would hardly change it."""
_NEIGHBOUR_ROUNDS = 2
"""How often the relevance of similar queries is fed back as neighbour features."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """What the estimator says about pairs, points and the log as a whole."""

    relevance: Float64
    """(p,): the probability that each pair is relevant."""
    promoted_points: NDArray[np.bool_]
    """(points,)"""
    click_signal: float = 1.0
    """The probability that clicks carry any relevance."""


def estimate_posterior(
    vectors: Float32,
    impressions: Impressions,
    pairs: Pairs,
    *,
    promoted_unshown: NDArray[np.bool_],
    logged_clicks: LoggedClicks | None,
    settings: FeedbackSettings,
) -> Posterior:
    """Return the relevance of each pair by `settings.bias`.

    vectors: (groups, d), unit rows.  promoted_unshown: (points,), points clicked where they were
    not shown.  logged_clicks: clicks with a propensity of the application's own; IPW uses them.
    """
    if not len(impressions):
        return Posterior(np.zeros(0), promoted_unshown)
    if settings.bias == "coec":
        ratio = compute_coec(impressions, pairs)
        return Posterior(ratio / (ratio + _COEC_PRIOR_STRENGTH), promoted_unshown)
    # Points clicked for far more queries than others are left out of the fit: if they are promoted,
    # they would teach the model that people examine the ranks where they stand.
    is_suspicious = promoted_unshown | is_outlier(
        _count_clicked_queries(impressions, pairs, len(promoted_unshown)), settings.outliers
    )
    sample, sample_pairs = _sample_impressions(impressions, ~is_suspicious)
    if settings.bias == "ipw":
        # A propensity is the probability that a rank is examined, whatever was clicked above.
        model = fit_click_model(sample.ignore_order(), sample_pairs)
        click_rate = compute_ipw_click_rate(impressions, pairs, model.examination, logged_clicks)
        return Posterior(click_rate, promoted_unshown)
    return _estimate_by_click_model(
        vectors,
        impressions,
        pairs,
        fit_click_model(sample, sample_pairs),
        promoted_unshown=promoted_unshown,
        is_suspicious=is_suspicious,
        is_fitted=len(sample) > 0,
        limit=settings.outliers,
    )


def _estimate_by_click_model(
    vectors: Float32,
    impressions: Impressions,
    pairs: Pairs,
    model: ClickModel,
    *,
    promoted_unshown: NDArray[np.bool_],
    is_suspicious: NDArray[np.bool_],
    is_fitted: bool,
    limit: float,
) -> Posterior:
    """Return the posterior of the PBM, with what similar queries add and the signal test takes.

    is_suspicious: (points,), points that the click model was not fitted to.  is_fitted: False where
    no list was logged, so that there is nothing to test for a signal either.
    """
    promotion_rates = estimate_promotion_rates(impressions, pairs, model)
    promoted = _find_promoted_points(
        vectors,
        impressions,
        pairs,
        model,
        promotion_rates=promotion_rates,
        promoted_unshown=promoted_unshown,
        limit=limit,
    )
    relevance = _refine_with_neighbours(
        vectors,
        impressions,
        pairs,
        model,
        promotion_rate=promotion_rates[pairs.point],
        promoted=promoted[pairs.point],
    )
    if not is_fitted:
        return Posterior(relevance, promoted)
    click_signal = estimate_click_signal(
        vectors, *_sample_impressions(impressions, ~(is_suspicious | promoted))
    )
    return Posterior(_discount(relevance, pairs, click_signal), promoted, click_signal)


def _count_clicked_queries(impressions: Impressions, pairs: Pairs, point_count: int) -> Int64:
    """Return for how many query groups each point is clicked, (points,)."""
    return np.bincount(
        pairs.point, weights=pairs.sum(impressions.clicked) > 0, minlength=point_count
    ).astype(np.int64)


def _sample_impressions(
    impressions: Impressions, included: NDArray[np.bool_]
) -> tuple[Impressions, Pairs]:
    """Return the impressions of the included points in logged lists, and their pairs.

    included: (points,). Of every n query groups only one is taken where there are more impressions
    than the click model needs.
    """
    stride = max(1, -(-len(impressions) // _MAX_FITTED_IMPRESSIONS))
    group_numbers = np.cumsum(np.diff(impressions.query_group, prepend=-1) != 0)
    sample = impressions.select(
        (impressions.rank > 0) & included[impressions.point] & (group_numbers % stride == 0)
    )
    return sample, group_by_pair(sample)


def _find_promoted_points(
    vectors: Float32,
    impressions: Impressions,
    pairs: Pairs,
    model: ClickModel,
    *,
    promotion_rates: Float64,
    promoted_unshown: NDArray[np.bool_],
    limit: float,
) -> NDArray[np.bool_]:
    """Return the points that are promoted by any of the three signs, (points,)."""
    promoted = promoted_unshown.copy()
    promoted[: len(promotion_rates)] |= promotion_rates > 0
    relevance = compute_relevance_posterior(
        impressions, pairs, model, promotion_rates[pairs.point][pairs.pair_of_impression]
    )
    return promoted | find_points_without_topic(
        vectors, pairs, relevance >= _RELEVANCE_THRESHOLD, len(promoted), limit
    )


def _refine_with_neighbours(
    vectors: Float32,
    impressions: Impressions,
    pairs: Pairs,
    model: ClickModel,
    *,
    promotion_rate: Float64,
    promoted: NDArray[np.bool_],
) -> Float64:
    """Return the posterior relevance, (p,), with a prior that also depends on similar queries.

    promotion_rate, promoted: (p,), of the pair's point. Promoted points are no evidence for others.
    """
    prior_log_odds = compute_prior_log_odds(pairs, model)
    own_log_odds = pairs.sum(
        compute_log_likelihood_ratio(impressions, model, promotion_rate[pairs.pair_of_impression])
    )
    relevance = expit(prior_log_odds + own_log_odds)
    for _ in range(_NEIGHBOUR_ROUNDS):
        residual = np.where(promoted, 0.0, relevance - expit(prior_log_odds))
        features = compute_neighbour_features(vectors, pairs, residual)
        relevance = expit(fit_log_odds(prior_log_odds, features, relevance) + own_log_odds)
    return np.asarray(relevance)


def _discount(relevance: Float64, pairs: Pairs, click_signal: float) -> Float64:
    """Return the relevance, (p,), mixed with what would be known if clicks carried no relevance.

    Pairs without a logged list, whose clicks the signal test does not see, stay as they are.
    """
    discounted = click_signal * relevance + (1 - click_signal) * np.minimum(
        relevance, DEFAULT_PRIOR
    )
    return np.where(pairs.rank > 0, discounted, relevance)
