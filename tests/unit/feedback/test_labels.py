"""Which of several labels counts, and what it overrules."""

import numpy as np
import pytest

from nudge_sync.feedback.explain import explain_judgements
from nudge_sync.feedback.labels import is_overruled, keep_latest_labels
from nudge_sync.feedback.log.columns import Actions
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.records import (
    Event,
    Search,
    to_event_record,
    to_search_record,
)
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.simulated_clicks import DIMENSION, read_click_judgements


def make_labels(*rows):
    """Return labels; a row is (search, point, weight, time)."""
    search, point, weight, time = np.array(rows, np.float64).T
    zeros = np.zeros(len(rows), np.int32)
    return Actions(
        search.astype(np.int32), point.astype(np.int32), weight, zeros, time, zeros, zeros
    )


def list_weights(judgements, point):
    pairs = zip(judgements.weights.tolist(), judgements.point_ids, strict=True)
    return [weight for weight, id_ in pairs if id_ == point]


def test_the_latest_label_stays_and_of_equally_late_ones_the_lowest():
    labels = make_labels((0, 1, 2, 9), (0, 1, -1, 5), (1, 1, 3, 5), (1, 1, 1, 5), (0, 2, 4, 0))
    kept = keep_latest_labels(labels)
    rows = list(zip(kept.search.tolist(), kept.point.tolist(), kept.weight.tolist(), strict=True))
    assert rows == [(0, 1, 2.0), (0, 2, 4.0), (1, 1, 1.0)]


def test_a_label_overrules_the_pairs_of_its_whole_query_group():
    groups = np.array([7, 7, 8, -1], np.int32)
    labels = make_labels((0, 5, 1, 0), (3, 6, 1, 0))
    search, point = np.array([1, 2, 1, 3]), np.array([5, 5, 6, 6])
    overruled = is_overruled(labels, groups[labels.search], groups, search, point)
    assert overruled.tolist() == [True, False, False, False]


def test_a_label_overrules_clicks(click_log):
    click_log[1].put([to_event_record(Event("3 00", "not_relevant", 103))])
    judgements = read_click_judgements(click_log)
    query_row = judgements.query_ids.index("3 00")
    assert judgements.weights[judgements.query_rows == query_row].tolist() == [-1.0]


def test_a_label_on_any_search_for_a_query_overrules_the_clicks_on_all(click_log):
    queries, events = click_log
    (weight,) = list_weights(read_click_judgements(click_log), 105)
    assert weight > 0
    events.put([to_event_record(Event("5 07", "not_relevant", 105, timestamp=2e9))])
    judgements = read_click_judgements(click_log)
    assert list_weights(judgements, 105) == [-1.0]
    assert 105 not in judgements.expected_gains.point_ids
    log = load_log(queries, events, FeedbackSettings(), DIMENSION)
    reasons = {reason.source: reason for reason in explain_judgements(log, FeedbackSettings(), 105)}
    assert reasons["behaviour"].weight is None
    assert reasons["behaviour"].why == "a label overrules it"
    assert reasons["label"].weight == -1.0


def overrule_by_another_search(click_log, vector, *, client="", clicks=False):
    """Say of the point that searches for query 5 click that it does not answer, in a new search."""
    queries, events = click_log
    assert list_weights(read_click_judgements(click_log), 105)[0] > 0
    search = Search("again", vector, timestamp=2e9, shown=(105, 106), client_id=client)
    queries.put([to_search_record(search)])
    if clicks:
        event = Event("again", "click", 105, 1, timestamp=2e9, client_id=client)
        events.put([to_event_record(event)])
    events.put([to_event_record(Event("again", "not_relevant", 105, timestamp=2e9 + 5))])
    judgements = read_click_judgements(click_log)
    assert list_weights(judgements, 105) == [-1.0]
    assert 105 not in judgements.expected_gains.point_ids


@pytest.mark.parametrize("clicks", [False, True])
def test_a_label_overrules_clicks_also_where_its_own_search_is_beyond_the_caps(click_log, clicks):
    vector = next(iter(click_log[0].get(["5 07"]))).vector
    overrule_by_another_search(click_log, vector, client="c5 0", clicks=clicks)


def test_a_label_on_nearly_the_same_query_overrules_the_clicks_too(click_log):
    vector = next(iter(click_log[0].get(["5 07"]))).vector.copy()
    vector[0] += 1e-3 * np.linalg.norm(vector)
    overrule_by_another_search(click_log, vector)


def test_a_label_on_another_query_does_not(click_log):
    queries, events = click_log
    queries.put([to_search_record(Search("other", np.eye(DIMENSION, dtype=np.float32)[0]))])
    events.put([to_event_record(Event("other", "not_relevant", 105))])
    weights = list_weights(read_click_judgements(click_log), 105)
    assert sorted(weight > 0 for weight in weights) == [False, True]


def test_a_bot_that_labels_what_it_clicked_still_overrules(new_records):
    queries, events = new_records(), new_records()
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, DIMENSION)).astype(np.float32)
    for query, vector in enumerate(vectors):
        shown = tuple(4 * query + place for place in range(4))
        people = [f"c{query} {n}" for n in range(10)]
        for client in [*people, "editor"]:
            name = f"{query} {client}"
            search = Search(name, vector, timestamp=1e9, shown=shown, client_id=client)
            queries.put([to_search_record(search)])
            clicked = shown if client == "editor" else shown[1:2]
            given = [Event(name, "click", point, client_id=client) for point in clicked]
            if client == "editor":
                given.append(Event(name, "not_relevant", shown[1], client_id=client))
            events.put(list(map(to_event_record, given)))
    judgements = read_click_judgements((queries, events))
    assert judgements.suspected_bots == ["client editor"]
    assert all(list_weights(judgements, 4 * query + 1) == [-1.0] for query in range(30))


def test_a_negative_label_with_a_negative_grade_stays_negative(click_log):
    click_log[1].put([to_event_record(Event("5 07", "not_relevant", 200, grade=-2.0))])
    assert list_weights(read_click_judgements(click_log), 200) == [-2.0]
