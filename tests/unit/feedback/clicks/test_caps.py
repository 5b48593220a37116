"""The most that one session or client can contribute."""

import numpy as np
import pytest

from nudge_sync.feedback.clicks.caps import is_within_cap
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from tests.support.simulated_clicks import DIMENSION, read_click_judgements


def test_the_first_rows_with_the_same_keys_stay():
    people, points = np.array([1, 1, 2, 1], np.int32), np.array([5, 6, 5, 5], np.int32)
    np.testing.assert_array_equal(is_within_cap([people], 2), [True, True, True, False])
    np.testing.assert_array_equal(is_within_cap([people, points], 1), [True, True, True, False])
    assert is_within_cap([np.zeros(0, np.int32)], 1).shape == (0,)


@pytest.mark.parametrize(
    ("who", "settings", "kept"),
    [
        ({"client_id": "ann"}, {}, 20),
        ({"client_id": "ann"}, {"client_cap": 7}, 7),
        ({"client_id": "ann"}, {"point_cap": 2}, 8),
        ({"session_id": "s"}, {"session_cap": 3}, 3),
        ({}, {"session_cap": 3, "client_cap": 3}, 20),
    ],
)
def test_one_person_counts_up_to_the_caps(new_records, who, settings, kept):
    """Twenty queries, four points that each answer five of them, one click on each query."""
    queries, events = new_records(), new_records()
    vectors = np.random.default_rng(0).normal(size=(20, DIMENSION)).astype(np.float32)
    for q in range(20):
        search = Search(f"q{q}", vectors[q], shown=tuple(range(4)), **who)
        queries.put([to_search_record(search)])
        events.put([to_event_record(Event(f"q{q}", "click", q % 4, timestamp=q, **who))])
    judgements = read_click_judgements((queries, events), outliers=1000.0, **settings)
    (stage,) = (stage for stage in judgements.funnel if stage.name == "caps")
    assert (stage.kept, stage.removed) == (kept, 20 - kept)
