"""A stored log, read into columns: any order and any batches give the same bits."""

import numpy as np
import pytest

from nudge_sync.connector import Record
from nudge_sync.feedback.log import builder, load
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.records import (
    VECTOR_DIGEST_FIELD,
    Event,
    Search,
    to_event_record,
    to_search_record,
)
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.feedback_store import list_columns

DIMENSION = 4


@pytest.fixture
def records(new_records):
    """Searches and events with names, ids and fields of every kind; some log propensities."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5, DIMENSION)).astype(np.float32)
    queries, events = new_records(), new_records()
    for n in range(60):
        shown = [n % 7, f"p{n % 5}", 2**63 + n % 3][: n % 4]
        document = {"shown": shown, "session_id": f"ä{n // 2}", "client_id": "\ud800"[: n % 2]}
        if n > 10 and n % 3:
            document["propensities"] = [1 / (n + index) for index in range(len(shown))]
        queries.put([Record(f"q{n}", document, vectors[n % 5])])
        for index, point in enumerate(shown):
            clicked = {"query_id": f"q{n}", "action_name": "click", "object_id": point}
            events.put([Record(f"{n} {index}", {**clicked, "grade": 0.5 * index})])
    events.put([Record("odd", {"query_id": "q1", "action_name": "click", "object_id": True})])
    return queries, events


class InBatches:
    """Records that are scanned in small batches."""

    def __init__(self, records, size):
        self.records, self.size = records, size

    def scan(self, where=None, *, vectors=True):
        return self.records.scan(where, vectors=vectors, batch_size=self.size)


def test_a_log_is_the_same_however_many_values_are_encoded_at_a_time(records, monkeypatch):
    settings = FeedbackSettings()
    whole = list_columns(load_log(*records, settings, DIMENSION))
    monkeypatch.setattr(builder, "_FLUSH_SIZE", 3)
    in_batches = [InBatches(stored, 7) for stored in records]
    assert list_columns(load_log(*in_batches, settings, DIMENSION)) == whole
    assert whole[3] == 1


def test_propensities_stand_beside_the_points_they_were_logged_for(records):
    log = load_log(*records, FeedbackSettings(), DIMENSION)
    for row, name in enumerate(log.searches.query_ids):
        (search,) = records[0].get([name])
        stretch = slice(log.searches.shown_starts[row], log.searches.shown_starts[row + 1])
        logged = search.document.get("propensities", [np.nan] * len(search.document["shown"]))
        np.testing.assert_array_equal(log.searches.propensities[stretch], np.float32(logged))
        points = [log.point_ids[point] for point in log.searches.shown[stretch].tolist()]
        assert points == search.document["shown"]


def test_progress_is_told_how_many_records_were_read(records):
    told = []
    in_batches = [InBatches(stored, 25) for stored in records]
    load_log(*in_batches, FeedbackSettings(), DIMENSION, lambda *progress: told.append(progress))
    assert told[0] == ("events", 25, 0)
    assert told[-3:] == [("searches", 25, 0), ("searches", 50, 0), ("searches", 60, 0)]


def test_what_is_older_than_the_history_is_not_read(new_records, monkeypatch):
    day = 86_400.0
    now = 20_000 * day + 5_000
    monkeypatch.setattr(load, "time", lambda: now)
    queries, events = new_records(), new_records()
    times = {"undated": 0.0, "old": now - 2.1 * day, "morning": now - 2 * day - 4_000, "new": now}
    for name, time in times.items():
        document = {"query_id": name, "timestamp": time}
        queries.put([Record(name, document, np.ones(DIMENSION, np.float32))])
        for action in ("click", "relevant"):
            event = {**document, "action_name": action, "object_id": 1}
            events.put([Record(f"{name} {action}", event)])

    def names(**settings):
        log = load_log(queries, events, FeedbackSettings(**settings), DIMENSION)
        assert log.action_counts == {"click": len(log.behaviour), "relevant": len(log.labels)}
        assert len(log.labels) == len(log.behaviour) == len(log.searches.query_ids)
        return list(log.searches.query_ids)

    assert names() == sorted(times)
    assert names(history_days=2) == ["morning", "new", "undated"]
    assert names(history_days=0.01) == ["new", "undated"]
    assert names(history_days=10**6) == sorted(times)


class Counting:
    """Records that count the vectors they gave."""

    def __init__(self, records):
        self.records, self.given = records, 0

    def scan(self, where=None, *, vectors=True):
        for batch in self.records.scan(where, vectors=vectors):
            self.given += sum(record.vector is not None for record in batch)
            yield batch

    def get(self, keys, *, vectors=True):
        self.given += len(keys) if vectors else 0
        return self.records.get(keys, vectors=vectors)


@pytest.fixture
def searches_with_equal_vectors(new_records):
    """Sixty searches with five different vectors, one of them never clicked on."""
    vectors = np.random.default_rng(1).normal(size=(5, DIMENSION)).astype(np.float32)
    queries, events = Counting(new_records()), new_records()
    searches = [Search(f"q{n}", vectors[n % 5], shown=(1, 2, 3)) for n in range(60)]
    queries.records.put(list(map(to_search_record, searches)))
    clicks = [Event(f"q{n}", "click", n % 3) for n in range(60) if n % 5]
    events.put(list(map(to_event_record, clicks)))
    return queries, events


def test_of_equal_vectors_one_is_read(searches_with_equal_vectors):
    queries, events = searches_with_equal_vectors
    log = load_log(queries, events, FeedbackSettings(), DIMENSION)
    assert (queries.given, len(log.query_vectors)) == (4, 4)
    assert sorted(set(log.searches.vector_row.tolist())) == [-1, 0, 1, 2, 3]


@pytest.mark.parametrize("damage", ["no digest", "wrong digests", "another dimension"])
def test_the_log_is_the_same_where_searches_do_not_state_their_vectors_digest(
    searches_with_equal_vectors, damage
):
    queries, events = searches_with_equal_vectors
    before = list_columns(load_log(queries, events, FeedbackSettings(), DIMENSION))
    queries.given, wrong = 0, {}
    for batch in list(queries.records.scan()):
        for record in batch:
            document = record.document
            if damage == "no digest" and record.key == "q7":
                del document[VECTOR_DIGEST_FIELD]
            elif damage == "wrong digests":
                digest = document[VECTOR_DIGEST_FIELD]
                document[VECTOR_DIGEST_FIELD] = wrong.setdefault(digest, f"{len(wrong)}")
            queries.records.put([record])
    if damage == "another dimension":
        # Nobody clicked on q5, so that its vector is not read.
        odd = Search("q5", np.ones(DIMENSION + 1, np.float32), shown=(1, 2, 3))
        queries.records.put([to_search_record(odd)])
    after = list_columns(load_log(queries, events, FeedbackSettings(), DIMENSION))
    assert after == before
    vectors_read = {"no digest": 60, "wrong digests": 60 + 4, "another dimension": 4}
    assert queries.given == vectors_read[damage]
