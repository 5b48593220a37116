"""Clients that behave like no person are found, and their clicks left out."""

import numpy as np

from nudge_sync.feedback.clicks.bots import find_bots, is_outlier
from nudge_sync.feedback.schema.records import Event, to_event_record
from tests.support.simulated_clicks import read_click_judgements


def test_a_client_that_clicks_one_point_for_every_query_is_a_bot():
    people = np.repeat(np.arange(50, dtype=np.int32), 3)
    bot = np.full(60, 99, np.int32)
    group = np.concatenate([np.arange(150) % 40, np.arange(60)]).astype(np.int32)
    point = np.concatenate([np.arange(150) % 70, np.zeros(60, int)]).astype(np.int32)
    columns = [np.concatenate([people, bot]), group, point]
    parts = [[column[columns[0] % 2 == rest] for column in columns] for rest in range(2)]
    assert find_bots([columns], 5.0).tolist() == find_bots(parts, 5.0).tolist() == [99]
    assert not len(find_bots([[np.zeros(0, np.int32)] * 3], 5.0))


def test_outliers_lie_above_the_median_on_a_log_scale():
    counts = np.array([10] * 20 + [11, 9, 0, 400])
    assert np.flatnonzero(is_outlier(counts, 5.0)).tolist() == [23]
    assert not is_outlier(np.zeros(0, np.int64), 5.0).size


def test_the_clicks_of_a_bot_count_nowhere_and_it_is_named(click_log):
    before = read_click_judgements(click_log)
    for q in range(10):
        for n in range(20):
            event = Event(f"{q} {n:02d}", "click", 30 + q, client_id="robot")
            click_log[1].put([to_event_record(event)])
    after = read_click_judgements(click_log)
    assert (before.suspected_bots, after.suspected_bots) == ([], ["client robot"])
    assert after.weights.tobytes() == before.weights.tobytes()
    (stage,) = (stage for stage in after.funnel if stage.name == "bots")
    assert stage.removed == 200
