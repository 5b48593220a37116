import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_sync.config import FeedbackSettings
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.sources import build_judgement_source
from nudge_sync.feedback.judgements import read_judgements
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.feedback.stats import count_feedback

DIMENSION = 3


def put(destination, searches, events):
    destination.queries.put([to_search_record(search) for search in searches])
    destination.events.put([to_event_record(event) for event in events])


@pytest.fixture
def destination(new_records, ids_only):
    return Destination(new_records(), new_records(), ids_only(range(10), DIMENSION))


def load_judgements(destination, **settings):
    return read_judgements(
        destination.queries, destination.events, FeedbackSettings(**settings), DIMENSION
    )


def search(name, *vector, **more):
    return Search(name, np.array(vector, np.float32), **more)


def test_the_latest_label_wins(destination):
    events = [
        Event("q", "relevant", 1, grade=2.0, timestamp=10.0),
        Event("q", "not_relevant", 1, timestamp=20.0),
        Event("q", "relevant", 2, grade=3.0, timestamp=30.0),
        Event("q", "relevant", 2, grade=1.0, timestamp=5.0),
        Event("q", "relevant", 3, grade=5.0),
        Event("q", "relevant", 3, grade=4.0),
    ]
    put(destination, [search("q", 0, 2, 0)], events)
    assert load_judgements(destination).weights.tolist() == [-1.0, 3.0, 4.0]


def test_queries_of_another_dimension_and_unknown_ones_are_counted(destination):
    events = [Event(name, "relevant", 1) for name in ("here", "short", "nowhere")]
    put(destination, [search("here", 1, 0, 0), search("short", 1, 0)], events)
    found = load_judgements(destination)
    assert found.query_ids == ["here"]
    assert sum(stage.removed for stage in found.funnel) == 2


def test_unused_actions_are_counted(destination):
    put(destination, [search("q", 1, 0, 0)], [Event("q", "hover", 1)])
    found = load_judgements(destination)
    assert len(found) == 0
    assert found.query_vectors.shape == (0, DIMENSION)
    assert found.funnel[0].removed == 1


@settings(deadline=None, max_examples=30)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_records_changes_no_bit(new_records, random):
    searches = [
        search(f"q{n}", n + 1, 1, 0.3, session_id=f"s{n}", shown=tuple(range(9))) for n in range(6)
    ]
    events = [
        Event(f"q{n % 6}", ("click", "relevant")[n % 2], n % 5, timestamp=n % 4, grade=0.1 * n)
        for n in range(60)
    ]
    first = _load_rows(new_records, searches, events)
    random.shuffle(searches)
    random.shuffle(events)
    second = _load_rows(new_records, searches, events)
    assert first.query_ids == second.query_ids
    assert first.point_ids == second.point_ids
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.query_vectors.tobytes() == second.query_vectors.tobytes()
    assert first.query_rows.tobytes() == second.query_rows.tobytes()
    assert first.funnel == second.funnel


def _load_rows(new_records, searches, events):
    destination = Destination(new_records(), new_records(), None)
    put(destination, searches, events)
    return load_judgements(destination)


def test_labels_in_memory_pass_through_unchanged(destination):
    vectors = np.eye(DIMENSION, dtype=np.float32)
    relevant = {"a": {1: 1.0, 2: 2.0}, "b": {3: 0.0}}
    import_rows([build_judgement_source(["a", "b", "c"], vectors, relevant)], destination)
    found = load_judgements(destination)
    assert found.query_ids == ["a", "b"]
    assert found.query_vectors.tobytes() == vectors[:2].tobytes()
    assert found.weights.tolist() == [1.0, 2.0, 0.0]
    assert found.query_rows.tolist() == [0, 0, 1]
    assert all(stage.removed == 0 for stage in found.funnel)


def test_stats(destination):
    put(
        destination,
        [search("q", 1, 0, 0)],
        [Event("q", "relevant", 1), Event("q", "relevant", 2, grade=0.0), Event("q", "hover", 1)],
    )
    counted = count_feedback(
        destination.queries, destination.events, destination.collection, SETTINGS
    )
    summary = json.loads(json.dumps(counted.summary()))
    assert summary["actions"] == {"hover": 1, "relevant": 2}
    assert (summary["positive"], summary["negative"], summary["coverage"]) == (1, 1, 0.1)


SETTINGS = FeedbackSettings()
