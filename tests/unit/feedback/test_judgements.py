"""Judgements from labels and behaviour together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.sources import build_judgement_source
from nudge_sync.feedback.judgements import read_judgements
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.simulated_clicks import read_click_judgements, store_noisy_clicks

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


def test_a_query_has_the_time_of_its_search(destination):
    searches = [search("a", 1, 0, 0, timestamp=5.0), search("b", 0, 1, 0)]
    put(destination, searches, [Event("b", "relevant", 1), Event("a", "relevant", 2)])

    judgements = load_judgements(destination)

    assert judgements.query_ids == ["a", "b"]
    assert judgements.query_times.tolist() == [5.0, 0.0]


def test_queries_of_another_dimension_and_unknown_ones_are_counted(destination):
    events = [Event(name, "relevant", 1) for name in ("here", "short", "nowhere")]
    put(destination, [search("here", 1, 0, 0), search("short", 1, 0)], events)
    judgements = load_judgements(destination)
    assert judgements.query_ids == ["here"]
    assert sum(stage.removed for stage in judgements.funnel) == 2


def test_unused_actions_are_counted(destination):
    put(destination, [search("q", 1, 0, 0)], [Event("q", "hover", 1)])
    judgements = load_judgements(destination)
    assert len(judgements) == 0
    assert judgements.query_vectors.shape == (0, DIMENSION)
    assert judgements.funnel[0].removed == 1


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
    judgements = load_judgements(destination)
    assert judgements.query_ids == ["a", "b"]
    assert judgements.query_vectors.tobytes() == vectors[:2].tobytes()
    assert judgements.weights.tolist() == [1.0, 2.0, 0.0]
    assert judgements.query_rows.tolist() == [0, 0, 1]
    assert all(stage.removed == 0 for stage in judgements.funnel)


@pytest.fixture
def noisy_log(new_records):
    """Records of searches and events: see `store_noisy_clicks`."""
    queries, events = new_records(), new_records()
    store_noisy_clicks(queries, events)
    return queries, events


def compare_pull_and_worth(judgements):
    """Return whether what pulls is exactly what finding each point is worth."""
    is_positive, gains = judgements.weights > 0, judgements.expected_gains
    return (
        [judgements.point_ids[row] for row in np.flatnonzero(is_positive)] == gains.point_ids
        and np.array_equal(judgements.query_rows[is_positive], gains.query_rows)
        and np.array_equal(judgements.weights[is_positive], gains.gains)
    )


LABELS = [
    Event("q", "relevant", 1, grade=2.0),
    Event("q", "not_relevant", 2),
    Event("q", "relevant", 3, grade=0.0),
    Event("p", "relevant", 1),
]


@pytest.mark.parametrize("labels", [LABELS, LABELS[:1], LABELS[1:2], []])
def test_a_log_without_behaviour_holds_only_labels(destination, labels):
    put(destination, [search("q", 1, 0, 0), search("p", 0, 1, 0)], labels)
    judgements = load_judgements(destination)
    assert judgements.only_labels
    assert compare_pull_and_worth(judgements)


def test_behaviour_that_comes_to_nothing_leaves_only_labels(destination):
    put(destination, [search("q", 1, 0, 0, shown=(1, 2))], LABELS[:2])
    put(destination, [], [Event("q", "click", 9), Event("nowhere", "click", 1)])
    judgements = load_judgements(destination)
    assert judgements.only_labels
    assert compare_pull_and_worth(judgements)


@pytest.mark.parametrize("labels", [[], [Event("003 1", "relevant", 3, grade=3.0)]])
def test_behaviour_that_counts_leaves_more_than_labels(noisy_log, labels):
    noisy_log[1].put(list(map(to_event_record, labels)))
    judgements = read_click_judgements(noisy_log)
    assert len(judgements) > len(labels)
    assert not judgements.only_labels
    assert not compare_pull_and_worth(judgements)


def test_behaviour_without_a_doubt_is_still_no_label(click_log):
    judgements = read_click_judgements(click_log, traffic_exponent=0.0)
    assert not judgements.only_labels
    assert compare_pull_and_worth(judgements)


@pytest.mark.parametrize("is_labelled", [False, True])
def test_behaviour_that_gives_no_weight_may_say_what_points_are_worth(noisy_log, is_labelled):
    """It says so for queries that have a judgement; without the label there is none."""
    if is_labelled:
        first_search = read_click_judgements(noisy_log).query_ids[0]
        noisy_log[1].put([to_event_record(Event(first_search, "relevant", 500))])
    judgements = read_click_judgements(noisy_log, min_sessions=99)
    assert len(judgements) == is_labelled
    assert judgements.only_labels == compare_pull_and_worth(judgements) == (not is_labelled)
