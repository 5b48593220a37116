"""Feedback by day, and the newest events."""

from __future__ import annotations

import numpy as np

from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.feedback.timeline import DayVolume, count_days, list_newest_events
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore

FIRST_OF_MAY = 1_777_593_600.0
HOUR, DAY = 3600.0, 86_400.0


def build_log(searches, events):
    database = MemoryDatabase(MemoryStore())
    queries, stored_events = database.records("queries", 2), database.records("events")
    vector = np.array([1, 0], np.float32)
    queries.put([to_search_record(Search(name, vector, timestamp=at)) for name, at in searches])
    stored_events.put([to_event_record(event) for event in events])
    return load_log(queries, stored_events, FeedbackSettings(history_days=None), 2)


def test_days_are_counted_without_gaps_in_utc():
    log = build_log(
        [("a", FIRST_OF_MAY), ("b", FIRST_OF_MAY + DAY - 1), ("c", 0.0)],
        [
            Event("a", "click", 1, timestamp=FIRST_OF_MAY + 2 * DAY),
            Event("a", "relevant", 2, timestamp=FIRST_OF_MAY + HOUR),
        ],
    )
    assert count_days(log) == [
        DayVolume("2026-05-01", 2, 1),
        DayVolume("2026-05-02", 0, 0),
        DayVolume("2026-05-03", 0, 1),
    ]


def test_a_day_long_ago_does_not_make_a_timeline_of_decades():
    log = build_log([("a", DAY), ("b", FIRST_OF_MAY)], [])
    days = count_days(log)
    assert len(days) == 365
    assert days[-1] == DayVolume("2026-05-01", 1, 0)
    assert sum(day.searches for day in days) == 1


def test_without_dates_there_is_no_timeline():
    assert count_days(build_log([("a", 0.0)], [])) == []
    assert count_days(build_log([], [])) == []


def test_the_newest_events_of_both_kinds_come_first():
    log = build_log(
        [("a", FIRST_OF_MAY)],
        [
            Event("a", "click", 1, position=3, timestamp=FIRST_OF_MAY + 1),
            Event("a", "relevant", 2, timestamp=FIRST_OF_MAY + 2),
            Event("gone", "click", 3, timestamp=FIRST_OF_MAY + 3),
        ],
    )
    newest = list_newest_events(log, 2)
    assert [(event.point, event.is_label) for event in newest] == [(3, False), (2, True)]
    assert newest[0].query_id == ""
    assert list_newest_events(log, 9)[2].rank == 3
