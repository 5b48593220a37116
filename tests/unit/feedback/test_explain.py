"""The figures and the reasons behind the judgements of one point."""

import numpy as np

from nudge_sync.feedback.explain import explain_judgements
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.simulated_clicks import DIMENSION


def explain(log, point, **settings):
    chosen = FeedbackSettings(**settings)
    return explain_judgements(load_log(*log, chosen, DIMENSION), chosen, point)


def test_a_point_that_counts_has_the_figures_it_counts_by(click_log):
    (reason,) = explain(click_log, 103, half_life_days=None, traffic_exponent=0.0)
    assert (reason.query_id, reason.people, reason.place) == ("3 00", 15, 2)
    assert (reason.shown, reason.clicked) == (20, 15)
    assert reason.weight == reason.belief > 0.9
    assert reason.why.startswith("enough different people")


def test_a_point_that_does_not_count_has_the_first_reason_against_it(click_log):
    (reason,) = explain(click_log, 3)
    assert (reason.weight, reason.why) == (None, "no more clicks than its place would get anyhow")
    (reason,) = explain(click_log, 3, min_sessions=2)
    assert reason.why == "too few different people"


def test_labels_come_first(click_log):
    click_log[1].put([to_event_record(Event("7 03", "relevant", 103, grade=2.0))])
    reasons = explain(click_log, 103)
    assert [(reason.source, reason.query_id) for reason in reasons] == [
        ("label", "7 03"),
        ("behaviour", "3 00"),
    ]
    assert reasons[0].weight == 2.0


def test_nothing_is_said_about_an_unknown_point_or_one_without_actions(click_log):
    assert explain(click_log, 555) == []
    assert explain(click_log, 25) == []


def test_a_log_of_labels_alone_is_explained_too(new_records):
    queries, events = new_records(), new_records()
    queries.put([to_search_record(Search("q", np.ones(DIMENSION, np.float32)))])
    events.put([to_event_record(Event("q", "not_relevant", 4))])
    (reason,) = explain((queries, events), 4)
    assert reason.summary()["weight"] == -1.0
