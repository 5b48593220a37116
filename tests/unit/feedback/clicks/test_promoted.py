"""Points that are clicked whatever was asked."""

import numpy as np

from nudge_sync.feedback.clicks.bias.pbm import fit_click_model
from nudge_sync.feedback.clicks.impressions.pairs import Pairs, group_by_pair
from nudge_sync.feedback.clicks.promoted import (
    estimate_promotion_rates,
    find_clicked_unshown,
    find_points_without_topic,
)
from tests.support.simulated_clicks import DIMENSION, simulate_impressions, unit_rows


def test_points_clicked_at_whatever_rank_are_told_from_relevant_ones():
    impressions, _ = simulate_impressions(promoted=[3, 4], promotion_rate=0.25)
    pairs = group_by_pair(impressions)
    rates = estimate_promotion_rates(impressions, pairs, fit_click_model(impressions, pairs))
    assert set(np.flatnonzero(rates)) == {3, 4}
    assert abs(rates[3] - 0.25) < 0.1


def test_a_point_clicked_mostly_where_it_was_not_shown_is_found():
    point = np.repeat(np.arange(3, dtype=np.int32), [400, 400, 20])
    was_shown = np.concatenate([np.zeros(400), np.arange(400) % 4 > 0, np.ones(20)]).astype(bool)
    shown, unshown = (np.bincount(point[mask], minlength=50) for mask in (was_shown, ~was_shown))
    found = find_clicked_unshown(shown, unshown, 5.0)
    assert np.flatnonzero(found).tolist() == [0]


def test_a_point_that_seems_relevant_to_everything_is_found_and_a_popular_one_is_not():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, DIMENSION))
    vectors[:100] += 4 * rng.normal(size=DIMENSION)
    vectors = unit_rows(vectors)
    everywhere, popular = [(group, 0) for group in range(400)], [(group, 1) for group in range(100)]
    others = [(group, 2 + group % 100) for group in range(400)]
    irrelevant = [(group, 110) for group in range(400)]
    group, point = np.array(sorted({*everywhere, *popular, *others, *irrelevant})).T
    pairs = Pairs(np.arange(len(group)), group, point, np.ones(len(group), np.int64))
    found = find_points_without_topic(vectors, pairs, point != 110, 120, 5.0)
    assert np.flatnonzero(found).tolist() == [0]
    assert not find_points_without_topic(vectors, pairs, point == 111, 120, 5.0).any()
