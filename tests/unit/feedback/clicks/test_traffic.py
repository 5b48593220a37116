"""How much more a query counts that many people ask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.feedback.clicks.stages import ClickContext
from nudge_sync.feedback.clicks.traffic import (
    MAX_TRAFFIC_WEIGHT,
    measure_traffic,
    weigh_traffic,
)
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.simulated_clicks import DIMENSION, read_click_judgements

VECTORS = np.eye(2, DIMENSION, dtype=np.float32)
SEARCHES = [  # query, who asked, decay factor
    (0, "ann", 0.25),
    (0, "ann", 0.5),
    (0, "bob", 1.0),
    (1, "ann", 1.0),
    (1, "", 0.125),
    (1, "", 0.125),
    (1, "eve", 0.0625),
]


def test_each_person_counts_once_with_their_latest_search(new_records):
    queries, events = new_records(), new_records()
    for n, (query, client, _) in enumerate(SEARCHES):
        queries.put([to_search_record(Search(f"q{n}", VECTORS[query], client_id=client))])
        for point in () if client == "eve" else (n, 100):
            events.put([to_event_record(Event(f"q{n}", "click", point, client_id=client))])
    log = load_log(queries, events, FeedbackSettings(), DIMENSION)
    groups = log.searches.vector_row.astype(np.int32)
    context = ClickContext(log, FeedbackSettings(), groups)
    traffic = measure_traffic(context, np.array([factor for *_, factor in SEARCHES]))
    np.testing.assert_array_equal(traffic[groups[[0, 3]]], [0.5 + 1.0, 1.0 + 0.25 + 0.0625])


def ask_again(click_log, query, clients):
    """Let each of the clients ask a query of the log again, and click its answer at rank 2."""
    queries, events = click_log
    vector = next(
        record.vector
        for record in queries.kept.values()
        if record.document["query_id"] == f"{query} 00"
    )
    shown = (query, 100 + query, 20 + query, 30 + query)
    for n, client in enumerate(clients):
        name = f"{query} {n:04d} again"
        search = Search(name, vector, timestamp=1e9, shown=shown, client_id=client)
        queries.put([to_search_record(search)])
        events.put([to_event_record(Event(name, "click", 100 + query, client_id=client))])


@pytest.mark.parametrize(("exponent", "ratio"), [(0.5, 2.0), (1.0, 4.0), (0.0, 1.0)])
def test_a_query_that_four_times_as_many_people_ask_counts_more(click_log, exponent, ratio):
    ask_again(click_log, 3, [f"new {n}" for n in range(60)])
    weights = read_click_judgements(click_log, traffic_exponent=exponent).weights
    assert weights[3] / weights[4] == pytest.approx(ratio, rel=0.02)
    assert weights.mean() == pytest.approx(1.0, abs=0.02)


def test_who_finds_the_same_answer_every_day_counts_once_and_not_against_it(click_log):
    before = read_click_judgements(click_log)
    ask_again(click_log, 3, ["c3 1"] * 300)
    after = read_click_judgements(click_log, outliers=1000.0)
    assert after.point_ids == before.point_ids
    np.testing.assert_allclose(after.weights, before.weights, rtol=1e-6)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=30), st.floats(0, 1))
def test_the_mean_query_keeps_its_weight_and_none_gets_more_than_the_most(traffic, exponent):
    queries = np.repeat(np.arange(len(traffic)), 2)  # the second pair of each does not count
    counted = np.tile([True, False], len(traffic))
    weights = weigh_traffic(np.repeat(traffic, 2), queries, counted, exponent)
    assert (weights <= MAX_TRAFFIC_WEIGHT).all()
    if weights.max() < MAX_TRAFFIC_WEIGHT:
        assert weights[counted].mean() == pytest.approx(1.0)
    assert (np.diff(weights[counted][np.argsort(traffic)]) >= 0).all()


def test_without_a_pair_that_counts_there_is_nothing_to_weigh():
    none = np.zeros(2, np.bool_)
    np.testing.assert_array_equal(weigh_traffic(np.ones(2), np.arange(2), none, 0.5), [1, 1])
