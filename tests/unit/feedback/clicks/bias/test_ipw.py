"""Inverse propensity weighting, with the model's examination and with logged propensities."""

import numpy as np
import pytest

from nudge_sync.feedback.clicks.bias.ipw import (
    MAX_INVERSE_PROPENSITY,
    compute_ipw_click_rate,
    find_logged_clicks,
)
from nudge_sync.feedback.clicks.impressions.counts import collect_impressions
from nudge_sync.feedback.clicks.impressions.pairs import group_by_pair
from nudge_sync.feedback.clicks.impressions.single import MAX_RANK
from nudge_sync.feedback.log.columns import ActionSelection
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.simulated_clicks import DIMENSION, read_click_judgements, simulate_impressions

EXAMINATION = 1 / np.maximum(np.arange(MAX_RANK + 1), 1)
LISTS = {  # query id: (query, shown, propensities, points clicked)
    "a1": (0, (1, 2, 3), (1.0, 0.5, 0.02), (2, 3)),
    "a2": (0, (2, 3, 1), (), (2, 1)),
    "a3": (0, (3, 2, 1), (0.25, 0.25, 0.25), ()),
    "a4": (0, (), (), (2,)),
    "b1": (1, (2, 4, 2), (0.9, 0.8, 0.7), (2,)),
    "b2": (1, (4, 5, 6), (0.3, 0.3, 0.3), (6, 4)),
}


@pytest.fixture
def records(new_records):
    vectors = np.eye(DIMENSION, dtype=np.float32)
    queries, events = new_records(), new_records()
    for name, (query, shown, propensities, clicked) in LISTS.items():
        search = Search(
            name, vectors[query], shown=shown, propensities=propensities, client_id=name
        )
        queries.put([to_search_record(search)])
        for point in clicked:
            events.put([to_event_record(Event(name, "click", point, client_id=name))])
    return queries, events


def weigh_one_by_one(query, point, decay_factors, max_inverse):
    """Return the sum of the inverse propensities of a pair's clicks over its impressions."""
    weighted, shown_total = 0.0, 0.0
    unlisted = {
        p for q, shown, _, clicked in LISTS.values() for p in clicked if q == query and not shown
    }
    for factor, (q, shown, propensities, clicked) in zip(
        decay_factors, LISTS.values(), strict=True
    ):
        if q != query:
            continue
        if not shown and point in unlisted:
            shown_total += factor
            weighted += factor * (point in clicked)
        for index, shown_point in enumerate(shown):
            if shown_point != point:
                continue
            shown_total += factor
            propensity = propensities[index] if propensities else EXAMINATION[index + 1]
            weighted += factor * (point in clicked) * min(1 / propensity, max_inverse)
    return min(weighted / shown_total, 1.0)


@pytest.mark.parametrize("max_inverse", [MAX_INVERSE_PROPENSITY, 1.5, 1000.0])
def test_logged_propensities_replace_the_examination_of_their_impressions(records, max_inverse):
    log = load_log(*records, FeedbackSettings(), DIMENSION)
    groups = log.searches.vector_row.astype(np.int32)
    decay_factors = np.array([1.0, 0.5, 1.0, 0.25, 0.01, 0.125])
    impressions = collect_impressions(
        log.searches, groups, ActionSelection.select_all(log.behaviour), decay_factors
    )
    pairs = group_by_pair(impressions)
    logged = find_logged_clicks(
        log.searches, groups, ActionSelection.select_all(log.behaviour), decay_factors
    )
    found = compute_ipw_click_rate(impressions, pairs, EXAMINATION, logged, max_inverse)
    query_of_group = {
        int(group): LISTS[name][0]
        for group, name in zip(groups, log.searches.query_ids, strict=True)
    }
    expected = [
        weigh_one_by_one(query_of_group[group], log.point_ids[point], decay_factors, max_inverse)
        for group, point in zip(pairs.query_group.tolist(), pairs.point.tolist(), strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_log_without_propensities_has_no_logged_clicks(click_log):
    log = load_log(*click_log, FeedbackSettings(), DIMENSION)
    groups = log.searches.vector_row
    decay_factors = np.ones(len(groups))
    assert (
        find_logged_clicks(
            log.searches, groups, ActionSelection.select_all(log.behaviour), decay_factors
        )
        is None
    )


def test_relevant_points_have_higher_click_rates():
    impressions, is_relevant = simulate_impressions()
    rate = compute_ipw_click_rate(impressions, group_by_pair(impressions), EXAMINATION)
    assert np.median(rate[is_relevant]) > 2 * np.median(rate[~is_relevant])


@pytest.mark.parametrize("propensity", [0.05, 1.0])
def test_only_ipw_reads_propensities(click_log, propensity):
    """Twenty people each click the answer of ten queries in fifteen searches, at rank 2."""
    before = {bias: read_click_judgements(click_log, bias=bias) for bias in ("pbm", "ipw", "coec")}
    for batch in list(click_log[0].scan()):
        for record in batch:
            record.document["propensities"] = [propensity] * len(record.document["shown"])
    for bias, judgements in before.items():
        after = read_click_judgements(click_log, bias=bias)
        is_same = after.expected_gains.gains.tobytes() == judgements.expected_gains.gains.tobytes()
        assert is_same == (bias != "ipw")
    after = read_click_judgements(click_log, bias="ipw")
    expected = 1.0 if propensity < 0.1 else 15 / 20
    np.testing.assert_allclose(after.weights, np.full(10, expected))
