"""Sums over the pairs of a query group and a point."""

import numpy as np

from nudge_sync.feedback.clicks.impressions.pairs import group_by_pair
from tests.support.simulated_clicks import simulate_impressions


def test_pairs_sum_over_the_rows_of_the_same_query_group_and_point():
    impressions, _ = simulate_impressions(groups=5)
    doubled = impressions.select(np.repeat(np.arange(len(impressions)), 2))
    pairs = group_by_pair(doubled)
    np.testing.assert_array_equal(pairs.query_group, impressions.query_group)
    np.testing.assert_array_equal(pairs.point, impressions.point)
    np.testing.assert_array_equal(pairs.rank, impressions.rank)
    np.testing.assert_array_equal(pairs.sum(doubled.clicked), 2 * impressions.clicked)
