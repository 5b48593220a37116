"""A log whose database is away, or refuses what it is given."""

import socket
import threading

import pytest

import nudge_sync_milvus
import nudge_sync_qdrant
from nudge_sync import FeedbackLog
from nudge_sync.errors import DatabaseError, NudgeSyncError, Unreachable
from nudge_sync.testing.memory import MemoryCollection, MemoryDatabase, MemoryRecords
from tests.support.feedback_store import create_docs_database, read_stored_feedback


@pytest.fixture
def database():
    return create_docs_database()


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
    assert len(read_stored_feedback(database)[0]) == 5


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

    def records_beside(self, collection, name, dimension=0, indexed=()):
        return RefusingRecords(self, name, dimension, collection)


class RefusingCollection(MemoryCollection):
    def __init__(self, database, name, vector):
        super().__init__(database.store, name, vector)
        self.database = database

    def read(self, ids):
        self.database.refuse("read")
        return super().read(ids)


class RefusingRecords(MemoryRecords):
    def __init__(self, database, name, dimension, beside=""):
        super().__init__(database.store, name, dimension, beside)
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
    assert [event["object_id"] for event in read_stored_feedback(database)[1]] == [1]


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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

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
                collection = self.database.collection(*words)
                collection.describe()
            except NudgeSyncError:
                failed.set()
                raise
            return collection

    log = FeedbackLog(connect, "docs", capacity=3, flush_seconds=0.001)
    ids = [log.search([1, 0, 0, 0], [n]) for n in range(5)]
    log.click(ids[0], 1)
    assert failed.wait(300)
    assert len(set(ids)) == 5
    assert log.search([1, 0, 0, 0], [1]) not in ids
    assert (log.counts.stored, log.counts.waiting, log.counts.refused) == (0, 3, 0)
    assert log.counts.dropped == 4
    log.close(0)
