"""Everything of a person, a query or a time is erased, and nothing else."""

from time import time

import numpy as np
import pytest

from nudge_sync.errors import InputError
from nudge_sync.feedback.erase import FeedbackSelector, delete_feedback, export_rows
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record


@pytest.fixture
def stored(new_records):
    queries, events = new_records(), new_records()
    vector = np.array([1, 0], np.float32)
    queries.put(
        [
            to_search_record(Search("q1", vector, client_id="ann", session_id="s1")),
            to_search_record(Search("q2", vector, client_id="ann", session_id="s2")),
            to_search_record(Search("q3", vector, client_id="bob", session_id="s3")),
        ]
    )
    events.put(
        [
            to_event_record(Event("q1", "click", 1, client_id="ann", session_id="s1")),
            to_event_record(Event("q1", "click", 2)),
            to_event_record(Event("q2", "click", 1, client_id="ann", session_id="s2")),
            to_event_record(Event("q3", "click", 1, client_id="ann", session_id="s3")),
            to_event_record(Event("q3", "click", 2, client_id="bob", session_id="s3")),
        ]
    )
    return queries, events


@pytest.mark.parametrize(
    ("selector", "searches", "events"),
    [
        (FeedbackSelector(client="ann"), 2, 4),
        (FeedbackSelector(client="bob"), 1, 2),
        (FeedbackSelector(session="s1"), 1, 2),
        (FeedbackSelector(query="q3"), 1, 2),
        (FeedbackSelector(client="nobody"), 0, 0),
    ],
)
def test_everything_of_somebody_is_erased_and_nothing_else(stored, selector, searches, events):
    rows = list(export_rows(*stored, selector))
    erased = delete_feedback(*stored, selector)
    assert erased.summary() == {"searches": searches, "events": events}
    assert len(rows) == searches + events
    assert (stored[0].count(), stored[1].count()) == (3 - searches, 5 - events)
    assert delete_feedback(*stored, selector).summary() == {"searches": 0, "events": 0}


def test_the_day_itself_and_undated_records_stay(new_records):
    queries, events = new_records(), new_records()
    day = 1_777_593_600.0  # 2026-05-01
    for name, timestamp in {"undated": 0.0, "old": 5.0, "eve": day - 0.001, "day": day}.items():
        queries.put([to_search_record(Search(name, np.ones(2, np.float32), timestamp=timestamp))])
        events.put([to_event_record(Event(name, "click", 1, timestamp=timestamp))])
    selector = FeedbackSelector(before="2026-05-01")
    assert len(list(export_rows(queries, events, selector))) == 4
    assert delete_feedback(queries, events, selector).summary() == {"searches": 2, "events": 2}
    remaining = [
        {record.document["query_id"] for record in next(records.scan())}
        for records in (queries, events)
    ]
    assert remaining == [{"undated", "day"}] * 2
    assert delete_feedback(queries, events, FeedbackSelector(before="1970-01-01")).events == 0


@pytest.mark.parametrize(
    "selector",
    [
        FeedbackSelector(),
        FeedbackSelector(client="a", session="b"),
        FeedbackSelector(client="a", before="2026-05-01"),
        FeedbackSelector(before="x"),
    ],
)
def test_exactly_one_selector_has_to_be_set(stored, selector):
    with pytest.raises(InputError):
        delete_feedback(*stored, selector)


def test_the_day_to_forget_before_may_lie_in_the_future():
    start, end = FeedbackSelector(before="9999-12-31").to_filter()["timestamp"]
    assert start <= time() < end
