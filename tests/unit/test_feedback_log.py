import socket
import threading
import time

import numpy as np
import pytest

import nudge_sync_milvus
import nudge_sync_qdrant
import nudge_sync_qdrant_edge
from nudge_sync import FeedbackLog
from nudge_sync.errors import DatabaseError, NudgeSyncError, Unreachable
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryCollection, MemoryDatabase, MemoryRecords

DIMENSION = 4


@pytest.fixture
def database():
    made = MemoryDatabase()
    vectors = np.eye(DIMENSION, dtype=np.float32)
    make_collection(made, vectors)
    return made


def make_collection(database, vectors):
    database.store.create("docs", DIMENSION)
    database.store.upsert("docs", list(range(len(vectors))), vectors)


def read_stored(database):
    target = open_target(database, "docs")
    queries = [record for batch in target.queries.scan() for record in batch]
    events = [record.document for batch in target.events.scan() for record in batch]
    return queries, events


def test_searches_and_what_came_of_them_are_stored(database):
    vector = np.array([1, 2, 3, 4], np.float32)
    with FeedbackLog(database, "docs", flush_seconds=0.01) as log:
        query = log.search(vector, [3, 1], text="wing", session="s", client="c")
        vector[:] = 0
        log.click(query, np.int64(1), position=2, session="s")
        log.relevant(query, 3, grade=2)
        log.not_relevant(query, 0)
        assert log.flush()
    (search,), events = read_stored(database)
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
    (search,), _ = read_stored(database)
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
    assert read_stored(database) == ([], [])


def test_a_dead_database_fails_nothing_and_what_waits_is_stored_later(database):
    tried, alive = threading.Event(), threading.Event()

    def connect():
        tried.set()
        if not alive.is_set():
            raise Unreachable
        return database

    with FeedbackLog(connect, "docs", capacity=5, flush_seconds=0.001) as log:
        ids = [log.search([1, 0, 0, 0], [n]) for n in range(8)]
        assert tried.wait(300)
        assert len(set(ids)) == 8
        assert (log.counts.waiting, log.counts.dropped) == (5, 3)
        alive.set()
        assert log.flush(300)
    assert len(read_stored(database)[0]) == 5


def test_no_row_is_given_up_while_the_database_cannot_be_opened(database):
    attempts = 0

    def connect():
        nonlocal attempts
        attempts += 1
        if attempts < 1200:
            raise ConnectionRefusedError
        return database

    with FeedbackLog(connect, "docs", flush_seconds=1e-9) as log:
        for n in range(600):
            log.search([1, 0, 0, 0], [n])
        assert log.flush(300)
        assert (log.counts.stored, log.counts.dropped) == (600, 0)
    assert attempts == 1200


def test_flushing_does_not_ask_a_dead_database_all_the_time():
    attempts, tried = 0, threading.Event()

    def connect():
        nonlocal attempts
        attempts += 1
        tried.set()
        raise ConnectionRefusedError

    log = FeedbackLog(connect, "docs", flush_seconds=30)
    log.search([1, 0, 0, 0], [1])
    while not tried.is_set():
        log.flush(0.1)
    assert not log.flush(0.3)
    assert attempts == 1
    log.close(0)


class Refusing(MemoryDatabase):
    """Refuses so many calls of one of its methods."""

    def __init__(self, store, method, times):
        super().__init__(store)
        self.method, self.times = method, times

    def refuse(self, method):
        if method == self.method and self.times:
            self.times -= 1
            raise DatabaseError(f"no {method} today")

    def collection(self, name, vector=""):
        return RefusingCollection(self, name, vector)

    def records(self, name, dimension=0, indexed=()):
        return RefusingRecords(self, name, dimension)


class RefusingCollection(MemoryCollection):
    def __init__(self, database, name, vector):
        super().__init__(database.store, name, vector)
        self.database = database

    def read(self, ids):
        self.database.refuse("read")
        return super().read(ids)


class RefusingRecords(MemoryRecords):
    def __init__(self, database, name, dimension):
        super().__init__(database.store, name, dimension)
        self.database = database

    def put(self, records):
        self.database.refuse("put")
        super().put(records)


@pytest.mark.parametrize("method", ["read", "put"])
def test_what_is_refused_for_a_while_waits(database, method):
    refusing = Refusing(database.store, method, 5)
    with FeedbackLog(refusing, "docs", flush_seconds=0.001) as log:
        log.click(log.search([1, 0, 0, 0], [1]), "1")
        assert log.flush(300)
        assert (log.counts.stored, log.counts.dropped) == (2, 0)
        assert log.counts.last_error == f"DatabaseError: no {method} today"
    assert [event["object_id"] for event in read_stored(database)[1]] == [1]


def test_flush_says_that_rows_were_given_up(database):
    with FeedbackLog(Refusing(database.store, "put", -1), "docs", flush_seconds=0.001) as log:
        log.search([1, 0, 0, 0], [1])
        assert not log.flush(300)
        assert (log.counts.waiting, log.counts.dropped) == (0, 1)


CONNECTORS = {
    "qdrant": lambda port: nudge_sync_qdrant.connect({"url": f"http://127.0.0.1:{port}"}),
    "milvus": lambda port: nudge_sync_milvus.connect({"uri": f"http://127.0.0.1:{port}"}),
}


@pytest.mark.parametrize("name", CONNECTORS)
def test_a_server_that_refuses_every_connection_fails_nothing(name):
    failed = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]

    def connect():
        try:
            return Watched(CONNECTORS[name](port))
        except NudgeSyncError:
            failed.set()
            raise

    class Watched:
        """The connector's database: says when it failed for the first time."""

        def __init__(self, database):
            self.database = database

        def collection(self, *words):
            try:
                found = self.database.collection(*words)
                found.describe()
            except NudgeSyncError:
                failed.set()
                raise
            return found

    log = FeedbackLog(connect, "docs", capacity=3, flush_seconds=0.001)
    ids = [log.search([1, 0, 0, 0], [n]) for n in range(5)]
    log.click(ids[0], 1)
    assert failed.wait(300)
    assert len(set(ids)) == 5
    assert log.search([1, 0, 0, 0], [1]) not in ids
    assert (log.counts.stored, log.counts.waiting, log.counts.refused) == (0, 3, 0)
    assert log.counts.dropped == 4
    log.close(0)


def test_ids_become_those_of_the_collection(database):
    with FeedbackLog(database, "docs", flush_seconds=0.01) as log:
        query = log.search([1, 0, 0, 0], ["3", 1, "9", "nowhere"])
        for point in ("3", 1, "9", "nowhere"):
            log.click(query, point)
        assert log.flush()
        assert (log.counts.stored, log.counts.refused) == (5, 0)
    (search,), events = read_stored(database)
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
    (search,), events = read_stored(database)
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
    target = open_target(database, "live")
    events = [record.document for batch in target.events.scan() for record in batch]
    assert {event["object_id"] for event in events} == {1, 7}


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
    (search,), _ = read_stored(database)
    assert search.document["propensities"] == [0.5, 0.25]


def test_what_a_function_opened_is_closed_with_the_log(tmp_path):
    def connect():
        return nudge_sync_qdrant_edge.connect({"path": str(tmp_path)})

    made = connect()
    made.create_collection("docs", DIMENSION)
    made.close()
    opened = []

    def remembered():
        opened.append(connect())
        return opened[0]

    with FeedbackLog(remembered, "docs", flush_seconds=0.01) as log:
        log.search([1, 0, 0, 0], [1])
        assert log.flush(300)
    with pytest.raises(DatabaseError, match="was closed"):
        opened[0].collection("docs")
    again = connect()
    with FeedbackLog(again, "docs", flush_seconds=0.01) as log:
        log.search([1, 0, 0, 0], [1])
        assert log.flush(300)
    # Not the log's to close.
    assert len(read_stored(again)[0]) == 2
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
