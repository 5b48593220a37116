"""What is stored, counted."""

import json

import numpy as np

from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.feedback.stats import summarise_log
from nudge_sync.settings.feedback import FeedbackSettings

DIMENSION = 3


def test_what_is_stored_is_counted(new_records):
    queries, events = new_records(), new_records()
    queries.put([to_search_record(Search("q", np.array([1, 0, 0], np.float32)))])
    for event in (
        Event("q", "relevant", 1),
        Event("q", "relevant", 2, grade=0.0),
        Event("q", "hover", 1),
    ):
        events.put([to_event_record(event)])
    settings = FeedbackSettings()
    stats = summarise_log(load_log(queries, events, settings, DIMENSION), settings, 10)
    summary = json.loads(json.dumps(stats.summary()))
    assert (summary["searches"], summary["events"], summary["queries"]) == (1, 3, 1)
    assert summary["actions"] == {"hover": 1, "relevant": 2}
    assert (summary["positive"], summary["negative"], summary["coverage"]) == (1, 1, 0.1)
    assert (summary["judged"], summary["points"]) == (stats.judged_points, 10) == (1, 10)
    assert summary["funnel"][0]["removed"] == 1
