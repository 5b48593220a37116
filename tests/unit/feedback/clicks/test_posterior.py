"""The probability of relevance by each estimator."""

import numpy as np
import pytest

from nudge_sync.feedback.clicks.bias.click_model import DEFAULT_PRIOR
from nudge_sync.feedback.clicks.bias.coec import compute_coec
from nudge_sync.feedback.clicks.impressions.pairs import group_by_pair
from nudge_sync.feedback.clicks.posterior import estimate_posterior
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.simulated_clicks import (
    DIMENSION,
    replace_by_random_clicks,
    simulate_impressions,
    unit_rows,
)

POINTS = 120


def estimate(impressions, **settings):
    vectors = unit_rows(np.random.default_rng(0).normal(size=(300, DIMENSION)))
    return estimate_posterior(
        vectors,
        impressions,
        group_by_pair(impressions),
        promoted_unshown=np.arange(POINTS) == 7,
        logged_clicks=None,
        settings=FeedbackSettings(**settings),
    )


@pytest.mark.parametrize("bias", ["pbm", "coec", "ipw"])
def test_every_estimator_ranks_relevant_pairs_above_others(bias):
    impressions, is_relevant = simulate_impressions(points=POINTS)
    posterior = estimate(impressions, bias=bias)
    assert ((posterior.relevance >= 0) & (posterior.relevance <= 1)).all()
    quantile = np.quantile(posterior.relevance, 1 - is_relevant.mean())
    assert is_relevant[posterior.relevance > quantile].mean() > 0.75
    assert posterior.promoted_points[7]


def test_a_coec_ratio_of_two_is_a_relevance_of_a_half():
    impressions, _ = simulate_impressions(points=POINTS)
    ratio = compute_coec(impressions, group_by_pair(impressions))
    relevance = estimate(impressions, bias="coec").relevance
    np.testing.assert_array_equal(relevance >= 0.5, ratio >= 2)


def test_promoted_points_are_found_by_the_click_model():
    impressions, _ = simulate_impressions(points=POINTS, promoted=[3], promotion_rate=0.25)
    assert np.flatnonzero(estimate(impressions).promoted_points).tolist() == [3, 7]


def test_without_a_signal_no_pair_is_likelier_relevant_than_one_nobody_knows():
    impressions, _ = simulate_impressions(points=POINTS)
    posterior = estimate(replace_by_random_clicks(impressions, 0.4))
    assert posterior.click_signal < 0.1
    assert posterior.relevance.max() < DEFAULT_PRIOR + 0.1


def test_without_impressions_there_is_nothing_to_estimate():
    impressions, _ = simulate_impressions(groups=2, points=POINTS)
    nothing = impressions.select(np.zeros(len(impressions), np.bool_))
    assert estimate(nothing).relevance.shape == (0,)
