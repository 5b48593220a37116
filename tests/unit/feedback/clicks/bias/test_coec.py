"""Clicks over expected clicks, against one pair at a time."""

import numpy as np

from nudge_sync.feedback.clicks.bias.coec import compute_coec
from nudge_sync.feedback.clicks.impressions.pairs import group_by_pair
from tests.support.simulated_clicks import simulate_impressions


def test_the_ratio_is_that_of_clicks_and_expected_clicks_one_pair_at_a_time():
    impressions, _ = simulate_impressions(groups=30)
    pairs = group_by_pair(impressions)
    ratio = compute_coec(impressions, pairs, smoothing=3.0)
    for pair in range(0, len(pairs), 7):
        clicks, expected = 3.0, 3.0
        for row in np.flatnonzero(pairs.pair_of_impression == pair):
            same_rank = impressions.rank == impressions.rank[row]
            rate = impressions.clicked[same_rank].sum() / impressions.shown[same_rank].sum()
            clicks += impressions.clicked[row]
            expected += impressions.shown[row] * rate
        assert abs(ratio[pair] - clicks / expected) < 1e-12


def test_relevant_points_have_higher_ratios():
    impressions, is_relevant = simulate_impressions()
    ratio = compute_coec(impressions, group_by_pair(impressions))
    assert np.median(ratio[is_relevant]) > 2 * np.median(ratio[~is_relevant])
