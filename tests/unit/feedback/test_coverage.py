"""How much of a collection has evidence."""

import numpy as np
import pytest

from nudge_sync.feedback.coverage import measure_coverage
from nudge_sync.feedback.judgements import read_judgements
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.feedback import FeedbackSettings


@pytest.fixture
def judgements(new_records):
    """Two queries on three points, of which one has only a negative."""
    queries, events = new_records(), new_records()
    for name in ("a", "b"):
        queries.put([to_search_record(Search(name, np.ones(3, np.float32)))])
        for point, action in ((1, "relevant"), (2, "relevant"), (3, "not_relevant")):
            events.put([to_event_record(Event(name, action, point))])
    return read_judgements(queries, events, FeedbackSettings(), 3)


def test_points_with_a_positive_weight_are_counted_once(judgements):
    coverage = measure_coverage(judgements, 40)
    assert coverage.summary() == {"judged": 2, "points": 40, "coverage": 0.05}
    assert str(coverage).startswith("2 of 40 points (5.0%) have evidence")


@pytest.mark.parametrize(("points", "share"), [(0, 0.0), (1, 1.0)])
def test_the_share_is_a_share_whatever_the_database_counts(judgements, points, share):
    assert measure_coverage(judgements, points).share == share
