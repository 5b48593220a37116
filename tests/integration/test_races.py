"""An application that writes at full speed while cycles and rollbacks run keeps every last word."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from applications import Edge, Memory, Milvus
from handmade import handmade, near
from pauses import Paused
from pymilvus import MilvusClient
from ram import folder
from windows import Stretch, Windows

import nudge_sync_qdrant_edge
from nudge_sync import cycle
from nudge_sync.config import CollectionSettings, WriteSettings
from nudge_sync.connector import Database
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.verify import verify
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back

POINTS, DIMENSION = 40, 8
SECONDS = 4.0
SERVER = pytest.mark.milvus_server
SETTINGS = CollectionSettings(write=WriteSettings(batch_size=10))


class Marking(Edge):
    """Qdrant's engine, with the mark that closes the window for threads that share the shard."""

    def connect(self) -> Database:
        return nudge_sync_qdrant_edge.connect({**self.section, "payload_mark": "_nudge_sync"})


class Busy(Milvus):
    """A Milvus application that keeps its connection."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.client = MilvusClient(place, dedicated=True)

    @contextmanager
    def _client(self) -> Iterator[MilvusClient]:
        yield self.client


class Writer(Thread):
    """Embeds points again, deletes them and inserts them, one after the other."""

    def __init__(
        self, application: Any, database: Database, wait: Callable[[], object] = bool
    ) -> None:
        super().__init__()
        self.application, self.database, self.wait = application, database, wait
        self.last: dict[int, bytes] = {}
        """What it wrote last to each point that exists."""
        self.moments: dict[int, Stretch] = {}
        """When it last wrote or deleted each point: from the request to the answer."""
        self.writes = 0
        self.enough = Event()

    def run(self) -> None:
        rng = np.random.default_rng(5)
        while not self.enough.is_set():
            self.wait()
            point = int(rng.integers(POINTS))
            self.writes += 1
            began = time.monotonic()
            if self.writes % 5 == 0 and point in self.last:
                self.application.delete(self.database, [point])
                del self.last[point]
            else:
                self.embed(point, rng.normal(size=(1, DIMENSION)))
            self.moments[point] = (began, time.monotonic())
            # Gives up the interpreter, so that the sidecar gets to write as well.
            time.sleep(0)

    def embed(self, point: int, row: Any) -> None:
        vector = np.asarray(row / np.linalg.norm(row), np.float32)
        self.application.upsert(self.database, [point], vector)
        self.last[point] = vector.tobytes()


@pytest.fixture(params=[Memory, Marking])
def application(request: pytest.FixtureRequest) -> Iterator[Any]:
    with folder() as path:
        yield request.param(str(path))


def test_the_application_has_the_last_word(application: Any) -> None:
    database = application.connect()
    writer, changes = raced(application, database)
    assert changes > 3
    assert writer.writes > 20
    resume(open_target(database, "docs"), SETTINGS)
    compare(database, writer)
    database.close()


@pytest.mark.parametrize("engine", ["lite", pytest.param("server", marks=SERVER)])
def test_nothing_is_lost_on_milvus_outside_the_window(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Milvus writes without a condition: what is lost was written between compare and upsert.

    The application writes whenever the sidecar begins to read. Were it to write all the time, no
    point would stay the same between plan and write, and there would be no race.
    """
    on_server = engine == "server"
    uri = request.getfixturevalue("milvus_server_uri") if on_server else str(tmp_path / "races.db")
    application = Busy(uri)
    database: Any = application.connect()
    windows = Windows(database.wire, "docs")
    wait = partial(windows.reads.acquire, timeout=1)
    writer, changes = raced(application, database, wait)
    assert changes > 3
    assert writer.writes > 20
    assert windows.of
    resume(open_target(database, "docs"), SETTINGS)
    target = open_target(database, "docs")
    found = classify_points(target, range(POINTS))
    known = {i: row.tobytes() for i, row in zip(found.ids, found.originals, strict=True)}
    lost = [point for point in range(POINTS) if known.get(point) != writer.last.get(point)]
    request.node.user_properties += [
        ("writes", writer.writes),
        ("last words lost in a window", len(lost)),
        ("longest window, s", round(windows.longest(), 3)),
    ]
    assert [i for i in lost if not windows.explain(i, writer.moments[i])] == []
    roll_back(target, SETTINGS, originals=True)
    live = target.collection.read(range(POINTS))
    assert {i: row.tobytes() for i, row in zip(live.ids, live.vectors, strict=True)} == known
    assert verify(target).is_clean
    database.close()
    application.client.close()


def raced(
    application: Any, database: Database, wait: Callable[[], object] = bool
) -> tuple[Writer, int]:
    """An application and a sidecar at once for a while; the first, and changes of the second."""
    rows = np.random.default_rng(0).normal(size=(POINTS, DIMENSION))
    vectors = np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
    application.fill(database, vectors, "cosine")
    writer = Writer(application, database, wait)
    writer.last = {row: vectors[row].tobytes() for row in range(POINTS)}
    writer.start()
    try:
        changes = changed_again_and_again(database)
    finally:
        writer.enough.set()
        writer.join()
    return writer, changes


def changed_again_and_again(database: Database) -> int:
    """Cycles and rollbacks for a while; how many."""
    until, done = time.monotonic() + SECONDS, 0
    while time.monotonic() < until or done < 4:
        target = open_target(database, "docs")
        points = classify_points(target, range(POINTS))
        wanted = dict(zip(points.ids, near(points.originals, done), strict=True))
        cycle.apply(target, SETTINGS, handmade(target, SETTINGS, wanted))
        if done % 3 == 2:
            roll_back(target, SETTINGS, originals=done % 2 == 0)
        done += 1
    return done


def compare(database: Database, writer: Writer) -> None:
    target = open_target(database, "docs")
    found = classify_points(target, range(POINTS))
    known = dict(zip(found.ids, found.originals, strict=True))
    assert {point: vector.tobytes() for point, vector in known.items()} == writer.last
    roll_back(target, SETTINGS, originals=True)
    live = target.collection.read(range(POINTS))
    pairs = zip(live.ids, live.vectors, strict=True)
    assert {point: row.tobytes() for point, row in pairs} == writer.last
    assert verify(target).is_clean


def test_an_alias_that_is_switched_meanwhile_redirects_no_write() -> None:
    """The new collection holds the same vectors, so that comparing them would not tell."""
    store = MemoryStore()
    rows = np.random.default_rng(0).normal(size=(POINTS, DIMENSION))
    vectors = np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
    for name in ("docs_v1", "docs_v2"):
        store.create(name, DIMENSION)
        store.upsert(name, list(range(POINTS)), vectors)
    store.aliases["docs"] = "docs_v1"
    wanted = dict(enumerate(near(vectors, 1)))

    def work(target: Target) -> None:
        cycle.apply(target, SETTINGS, handmade(target, SETTINGS, wanted))

    with Paused(MemoryDatabase(store), work, 12, "before") as paused:
        store.aliases["docs"] = "docs_v2"
    assert paused.stopped
    assert paused.error is None
    database = MemoryDatabase(store)
    for name, held in (("docs_v1", np.stack(list(wanted.values()))), ("docs_v2", vectors)):
        assert database.collection(name).read(range(POINTS)).vectors.tobytes() == held.tobytes()
