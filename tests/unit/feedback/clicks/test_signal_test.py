"""Whether clicks carry relevance at all."""

import numpy as np

from nudge_sync.feedback.clicks.impressions.counts import Impressions
from nudge_sync.feedback.clicks.impressions.pairs import group_by_pair
from nudge_sync.feedback.clicks.signal_test import estimate_click_signal, predict_clicks
from tests.support.simulated_clicks import (
    DIMENSION,
    replace_by_random_clicks,
    simulate_impressions,
    unit_rows,
)


def test_there_is_a_signal_only_where_clicks_go_with_pairs():
    impressions, _ = simulate_impressions()
    pairs = group_by_pair(impressions)
    rng = np.random.default_rng(0)
    vectors = unit_rows(rng.normal(size=(300, DIMENSION)))
    by_rank = replace_by_random_clicks(impressions, 0.4)
    by_query = replace_by_random_clicks(
        impressions, rng.uniform(0.05, 0.8, 300)[impressions.query_group]
    )
    by_point = replace_by_random_clicks(impressions, rng.uniform(0.05, 0.8, 120)[impressions.point])
    assert estimate_click_signal(vectors, impressions, pairs) > 0.99
    for random_clicks in (by_rank, by_query, by_point):
        assert estimate_click_signal(vectors, random_clicks, pairs) < 0.1


def test_similar_queries_give_a_signal_where_nothing_was_shown_twice():
    rng = np.random.default_rng(0)
    topic = np.repeat(np.arange(20), 20)
    vectors = np.eye(20, dtype=np.float32)[topic]
    shown = np.stack([rng.permutation(20) for _ in topic])
    clicked = rng.random(shown.shape) < np.where(shown == topic[:, None], 0.9, 0.1)
    group, index = np.divmod(np.arange(shown.size), 20)
    once, never = np.ones(shown.size), np.zeros(shown.size)
    impressions = Impressions(
        group, shown.ravel(), index + 1, 0 * index, once, clicked.ravel() * 1.0, never
    )
    impressions = impressions.select(np.lexsort((impressions.point, impressions.query_group)))
    pairs = group_by_pair(impressions)
    assert estimate_click_signal(vectors, impressions, pairs) > 0.99
    assert estimate_click_signal(rng.permutation(vectors), impressions, pairs) < 0.1


def test_without_a_click_there_is_no_signal():
    impressions, _ = simulate_impressions(groups=20)
    unclicked = replace_by_random_clicks(impressions, 0.0)
    vectors = np.eye(20, dtype=np.float32)
    assert estimate_click_signal(vectors, unclicked, group_by_pair(unclicked)) == 0


def test_predicted_clicks_follow_the_rank_the_query_and_the_point():
    impressions, _ = simulate_impressions()
    rates = np.random.default_rng(0).uniform(0.1, 0.9, 300)
    clicks = replace_by_random_clicks(impressions, rates[impressions.query_group])
    pairs = group_by_pair(clicks)
    expected = clicks.shown * rates[clicks.query_group] / clicks.rank
    assert np.corrcoef(predict_clicks(clicks, pairs), expected)[0, 1] > 0.97
