"""Who acted: a client, a session, or the search itself."""

import numpy as np
import pytest

from nudge_sync.feedback.clicks.actors import identify_people, resolve_clients, resolve_sessions
from nudge_sync.feedback.log.columns import ActionSelection
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.simulated_clicks import DIMENSION


@pytest.fixture
def log(new_records):
    """Four searches of which the fields tell less and less about who it was; a click on each."""
    queries, events = new_records(), new_records()
    vector = np.ones(DIMENSION, np.float32)
    known = [{"client_id": "ann", "session_id": "s1"}, {"session_id": "s2"}, {}, {}]
    for n, who in enumerate(known):
        queries.put([to_search_record(Search(f"q{n}", vector, **who))])
        events.put([to_event_record(Event(f"q{n}", "click", n))])
    events.put([to_event_record(Event("q3", "click", 9, client_id="ann", session_id="s3"))])
    return load_log(queries, events, FeedbackSettings(), DIMENSION)


def test_a_click_without_a_name_is_by_whoever_searched(log):
    clicks = ActionSelection(log.behaviour, np.arange(len(log.behaviour), dtype=np.int32))
    assert clicks.search.tolist() == [0, 1, 2, 3, 3]
    clients = [log.client_ids[row] for row in resolve_clients(log, clicks).tolist()]
    assert clients == ["ann", "", "", "", "ann"]
    sessions = [log.session_ids[row] for row in resolve_sessions(log, clicks).tolist()]
    assert sessions == ["s1", "s2", "", "", "s3"]


def test_people_are_clients_else_sessions_else_searches(log):
    clicks = ActionSelection(log.behaviour, np.arange(len(log.behaviour), dtype=np.int32))
    people = identify_people(log, clicks).tolist()
    assert people[0] == people[4]
    assert len(set(people)) == 4
