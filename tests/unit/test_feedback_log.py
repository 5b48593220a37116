"""What a log stores, what it counts, and how it ends."""

import threading
import time

import numpy as np
import pytest

import nudge_sync_qdrant_edge
from nudge_sync import FeedbackLog
from nudge_sync.errors import DatabaseError
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.feedback_files import DIMENSION
from tests.support.feedback_store import create_docs_database, read_stored_feedback


@pytest.fixture
def database():
    return create_docs_database()


def test_searches_and_what_came_of_them_are_stored(database):
    vector = np.array([1, 2, 3, 4], np.float32)
    with FeedbackLog(database, "docs", flush_seconds=0.01) as log:
        query = log.search(vector, [3, 1], text="wing", session="s", client="c")
        vector[:] = 0
        log.click(query, np.int64(1), position=2, session="s")
        log.relevant(query, 3, grade=2)
        log.not_relevant(query, 0, client_id="c2")
        assert log.flush()
    (search,), events = read_stored_feedback(database)
    assert {event["client_id"] for event in events} == {"", "c2"}
    np.testing.assert_array_equal(search.vector, [1, 2, 3, 4])
    assert search.key == query
    assert search.document["shown"] == [3, 1]
    assert {event["action_name"] for event in events} == {"click", "relevant", "not_relevant"}
    assert {event["object_id"] for event in events} == {0, 1, 3}
    assert all(event["timestamp"] > 1e9 for event in events)
    assert (log.counts.stored, log.counts.waiting, log.counts.dropped) == (4, 0, 0)


def test_a_vector_may_come_later(database):
    asked = []

    def vector():
        asked.append(threading.current_thread().name)
        return [1, 0, 0, 0]

    def broken():
        raise LookupError("no model")

    with FeedbackLog(database, "docs", flush_seconds=0.01) as log:
        known = log.search(vector, [1])
        log.search(broken, [1])
        assert log.flush()
        assert (log.counts.stored, log.counts.refused) == (1, 1)
        assert log.counts.last_error == "LookupError: no model"
    (search,), _ = read_stored_feedback(database)
    assert (search.key, search.vector.tolist()) == (known, [1, 0, 0, 0])
    assert asked == ["nudge-sync-log"]


def test_nonsense_is_counted_and_never_raises(database):
    with FeedbackLog(database, "docs", flush_seconds=0.01) as log:
        log.search(None, None)
        log.search([1, 2], [1])
        log.search([float("nan")] * DIMENSION, [])
        log.click(None, 1)
        log.event("q", "click", object(), position="first", grade={})
        log.flush()
        assert log.counts.stored == 0
        assert log.counts.refused == 5
        assert log.counts.last_error
    assert read_stored_feedback(database) == ([], [])


def test_an_event_dated_in_the_future_is_refused(database):
    with FeedbackLog(database, "docs", flush_seconds=0.01) as log:
        log.event("q1", "click", 1, time=time.time() + 3600)
        log.event("q1", "click", 2, time=time.time() + 7 * 86_400)
        assert log.flush()
        assert (log.counts.stored, log.counts.refused) == (1, 1)
        assert "more than a day ahead" in log.counts.last_error
    _, events = read_stored_feedback(database)
    assert [event["object_id"] for event in events] == [1]


def test_ids_become_those_of_the_collection(database):
    with FeedbackLog(database, "docs", flush_seconds=0.01) as log:
        query = log.search([1, 0, 0, 0], ["3", 1, "9", "nowhere"])
        for point in ("3", 1, "9", "nowhere"):
            log.click(query, point)
        assert log.flush()
        assert (log.counts.stored, log.counts.refused) == (5, 0)
    (search,), events = read_stored_feedback(database)
    assert search.document["shown"] == [3, 1, 9, "nowhere"]
    assert {event["object_id"] for event in events} == {3, 1, 9, "nowhere"}


def test_numbers_become_texts_where_the_collection_has_texts():
    database = MemoryDatabase()
    database.store.create("docs", DIMENSION, integer_ids=False)
    database.store.upsert("docs", ["1", "2"], np.eye(2, DIMENSION, dtype=np.float32))
    with FeedbackLog(database, "docs", flush_seconds=0.01) as log:
        log.click(log.search([1, 0, 0, 0], [2, 7]), 1)
        assert log.flush()
        # Inserted after somebody had asked for it in vain.
        log.click("q", 7)
        assert log.flush()
        database.store.upsert("docs", ["7"], np.eye(1, DIMENSION, dtype=np.float32))
        log.click("q", 7, position=1)
        assert log.flush()
    (search,), events = read_stored_feedback(database)
    assert search.document["shown"] == ["2", "7"]
    known = {(event["object_id"], event["position"]) for event in events}
    assert known == {("1", None), (7, None), ("7", 1)}


def test_an_alias_may_be_pointed_elsewhere(database):
    database.store.create("new", DIMENSION)
    database.store.aliases["live"] = "docs"
    with FeedbackLog(database, "live", flush_seconds=0.01) as log:
        log.click("q", "1")
        assert log.flush()
        database.store.aliases["live"] = "new"
        del database.store.collections["docs"]
        database.store.upsert("new", [7], np.eye(1, DIMENSION, dtype=np.float32))
        log.click("q", "7")
        assert log.flush()
    _, events = read_stored_feedback(database, "live")
    assert {event["object_id"] for event in events} == {1, 7}


def test_an_alias_may_be_pointed_at_vectors_of_another_dimension(database):
    database.store.create("new", DIMENSION + 2)
    database.store.aliases["live"] = "docs"
    with FeedbackLog(database, "live", flush_seconds=0.01) as log:
        old = log.search(np.ones(DIMENSION, np.float32), [1])
        assert log.flush()
        database.store.aliases["live"] = "new"
        new = log.search(np.ones(DIMENSION + 2, np.float32), [])
        assert log.flush()
        log.search(np.ones(DIMENSION, np.float32), [])
        log.flush()
        assert (log.counts.stored, log.counts.refused) == (2, 1)
    searches, _ = read_stored_feedback(database, "live")
    sizes = {search.key: len(search.vector) for search in searches}
    assert sizes == {old: DIMENSION, new: DIMENSION + 2}


@pytest.mark.parametrize(
    "propensities",
    [np.array([0.5, 0.25]), [np.float32(0.5), np.float32(0.25)], (0.5, 0.25)],
    ids=["array", "scalars", "tuple"],
)
def test_propensities_may_be_numbers_of_any_kind(database, propensities):
    with FeedbackLog(database, "docs", flush_seconds=0.01) as log:
        log.search([1, 0, 0, 0], [3, 1], propensities=propensities)
        assert log.flush()
        assert log.counts.stored == 1, log.counts.last_error
    (search,), _ = read_stored_feedback(database)
    assert search.document["propensities"] == [0.5, 0.25]


def test_what_a_function_opened_is_closed_with_the_log(tmp_path):
    def connect():
        return nudge_sync_qdrant_edge.connect({"path": str(tmp_path)})

    database = connect()
    database.create_collection("docs", DIMENSION)
    database.close()
    opened = []

    def open_and_remember():
        opened.append(connect())
        return opened[0]

    with FeedbackLog(open_and_remember, "docs", flush_seconds=0.01) as log:
        log.search([1, 0, 0, 0], [1])
        assert log.flush(300)
    with pytest.raises(DatabaseError, match="was closed"):
        opened[0].collection("docs")
    again = connect()
    with FeedbackLog(again, "docs", flush_seconds=0.01) as log:
        log.search([1, 0, 0, 0], [1])
        assert log.flush(300)
    # Not the log's to close.
    assert len(read_stored_feedback(again)[0]) == 2
    again.close()


def test_after_closing_everything_is_dropped(database):
    log = FeedbackLog(database, "docs", flush_seconds=0.01)
    log.close()
    log.close()
    log.search([1, 0, 0, 0], [1])
    assert log.counts.dropped == 1


def test_a_search_is_not_held_up(database):
    vector = np.ones(DIMENSION, np.float32)
    with FeedbackLog(database, "docs") as log:
        taken = []
        for _ in range(500):
            start = time.perf_counter_ns()
            log.search(vector, [1, 2, 3], text="x", session="s")
            taken.append(time.perf_counter_ns() - start)
    # 50 microseconds is the promise; the benchmark measures it, this only notices a blunder.
    assert np.median(taken) < 500_000
