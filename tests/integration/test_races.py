"""An application that writes at full speed while cycles and rollbacks run loses no write."""

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
from pymilvus import MilvusClient

import nudge_sync_qdrant_edge
from nudge_sync import cycle
from nudge_sync.config import CollectionSettings, GateSettings, WriteSettings
from nudge_sync.connector import Database, Float32
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.applications import (
    EdgeApplication,
    MemoryApplication,
    MilvusApplication,
    QdrantApplication,
)
from tests.support.passing_plan import make_passing_plan
from tests.support.paused_writer import PausedWriter
from tests.support.ram_disk import ram_folder
from tests.support.unit_vectors import make_unit_rows, perturb_rows
from tests.support.write_windows import TimeSpan, WriteWindows

POINTS, DIMENSION = 40, 8
SECONDS = 4.0
SERVER = pytest.mark.milvus_server
# The application writes vectors at random, as after a change of its model.
SETTINGS = CollectionSettings(
    gate=GateSettings(max_drifted_share=1.0), write=WriteSettings(batch_size=10)
)


class MarkingApplication(EdgeApplication):
    """An application on Qdrant's engine whose payload mark closes the window between threads."""

    def connect(self) -> Database:
        return nudge_sync_qdrant_edge.connect({**self.section, "payload_mark": "_nudge_sync"})


class ConnectedMilvusApplication(MilvusApplication):
    """A Milvus application that keeps its connection."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.client = MilvusClient(uri, dedicated=True)

    @contextmanager
    def _client(self) -> Iterator[MilvusClient]:
        yield self.client


class BusyWriter(Thread):
    """A thread that embeds points again, deletes them and inserts them, one after the other."""

    def __init__(
        self, application: Any, database: Database, wait: Callable[[], object] = bool
    ) -> None:
        super().__init__()
        self.application, self.database, self.wait = application, database, wait
        self.last_vectors: dict[int, bytes] = {}
        """What it wrote last to each point that exists."""
        self.write_spans: dict[int, TimeSpan] = {}
        """When it last wrote or deleted each point: from the request to the answer."""
        self.writes = 0
        self.stop_requested = Event()

    def run(self) -> None:
        rng = np.random.default_rng(5)
        while not self.stop_requested.is_set():
            self.wait()
            point = int(rng.integers(POINTS))
            self.writes += 1
            began = time.monotonic()
            if self.writes % 5 == 0 and point in self.last_vectors:
                self.application.delete(self.database, [point])
                del self.last_vectors[point]
            else:
                self.write_vector(point, make_unit_rows(1, DIMENSION, int(rng.integers(2**32))))
            self.write_spans[point] = (began, time.monotonic())
            # Lets the other thread run, so that the sidecar gets to write as well.
            time.sleep(0)

    def write_vector(self, point: int, vector: Float32) -> None:
        self.application.upsert(self.database, [point], vector)
        self.last_vectors[point] = vector.tobytes()


@pytest.fixture(params=["memory", "qdrant-edge", "qdrant"])
def application(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "qdrant":
        section = request.getfixturevalue("qdrant_server")
        yield QdrantApplication(section | {"payload_mark": "_nudge_sync"})
        return
    engines = {"memory": MemoryApplication, "qdrant-edge": MarkingApplication}
    with ram_folder() as path:
        yield engines[request.param](str(path))


def test_the_application_has_the_last_word(application: Any) -> None:
    database = application.connect()
    writer, changes = run_race(application, database)
    assert changes > 3
    assert writer.writes > 20
    resume(open_target(database, "docs"), SETTINGS)
    assert_last_writes_survive(database, writer)
    database.close()


@pytest.mark.parametrize("engine", ["lite", pytest.param("server", marks=SERVER)])
def test_nothing_is_lost_on_milvus_outside_the_window(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Milvus has no conditional write: what is lost was written between compare and upsert.

    The application writes whenever the sidecar begins to read. Were it to write all the time, no
    point would stay the same between plan and write, and there would be no race.
    """
    on_server = engine == "server"
    uri = request.getfixturevalue("milvus_server_uri") if on_server else str(tmp_path / "races.db")
    application = ConnectedMilvusApplication(uri)
    database: Any = application.connect()
    windows = WriteWindows(database.connection, "docs")
    wait = partial(windows.read_starts.acquire, timeout=1)
    writer, changes = run_race(application, database, wait)
    assert changes > 3
    assert writer.writes > 20
    assert windows.by_point
    resume(open_target(database, "docs"), SETTINGS)
    target = open_target(database, "docs")
    provenance = classify_points(target, range(POINTS))
    originals = {
        i: row.tobytes() for i, row in zip(provenance.ids, provenance.originals, strict=True)
    }
    lost = [
        point for point in range(POINTS) if originals.get(point) != writer.last_vectors.get(point)
    ]
    request.node.user_properties += [
        ("writes", writer.writes),
        ("last words lost in a window", len(lost)),
        ("longest window, s", round(windows.longest_seconds(), 3)),
    ]
    assert [i for i in lost if not windows.covers(i, writer.write_spans[i])] == []
    roll_back(target, SETTINGS, originals=True)
    live_points = target.collection.read(range(POINTS))
    assert {
        i: row.tobytes() for i, row in zip(live_points.ids, live_points.vectors, strict=True)
    } == originals
    assert verify(target).is_clean
    database.close()
    application.client.close()


def run_race(
    application: Any, database: Database, wait: Callable[[], object] = bool
) -> tuple[BusyWriter, int]:
    """Run an application and a sidecar at once for a while; return the first's writer, and how many
    changes the second made.
    """
    vectors = make_unit_rows(POINTS, DIMENSION, 0)
    application.fill(database, vectors, "cosine")
    writer = BusyWriter(application, database, wait)
    writer.last_vectors = {row: vectors[row].tobytes() for row in range(POINTS)}
    writer.start()
    try:
        changes = run_cycles(database)
    finally:
        writer.stop_requested.set()
        writer.join()
    return writer, changes


def run_cycles(database: Database) -> int:
    """Run cycles and rollbacks for a while; return how many."""
    until, changes = time.monotonic() + SECONDS, 0
    while time.monotonic() < until or changes < 4:
        target = open_target(database, "docs")
        points = classify_points(target, range(POINTS))
        new_vectors = dict(zip(points.ids, perturb_rows(points.originals, changes), strict=True))
        cycle.apply(target, SETTINGS, make_passing_plan(target, SETTINGS, new_vectors))
        if changes % 3 == 2:
            roll_back(target, SETTINGS, originals=changes % 2 == 0)
        changes += 1
    return changes


def assert_last_writes_survive(database: Database, writer: BusyWriter) -> None:
    target = open_target(database, "docs")
    provenance = classify_points(target, range(POINTS))
    originals = dict(zip(provenance.ids, provenance.originals, strict=True))
    assert {point: vector.tobytes() for point, vector in originals.items()} == writer.last_vectors
    roll_back(target, SETTINGS, originals=True)
    live_points = target.collection.read(range(POINTS))
    pairs = zip(live_points.ids, live_points.vectors, strict=True)
    assert {point: row.tobytes() for point, row in pairs} == writer.last_vectors
    assert verify(target).is_clean


def test_an_alias_that_is_switched_meanwhile_redirects_no_write() -> None:
    """Both collections hold the same vectors, so comparing vectors cannot tell them apart."""
    store = MemoryStore()
    vectors = make_unit_rows(POINTS, DIMENSION, 0)
    for name in ("docs_v1", "docs_v2"):
        store.create(name, DIMENSION)
        store.upsert(name, list(range(POINTS)), vectors)
    store.aliases["docs"] = "docs_v1"
    new_vectors = dict(enumerate(perturb_rows(vectors, 1)))

    def work(target: Target) -> None:
        cycle.apply(target, SETTINGS, make_passing_plan(target, SETTINGS, new_vectors))

    with PausedWriter(MemoryDatabase(store), work, 12, "before") as paused:
        store.aliases["docs"] = "docs_v2"
    assert paused.was_paused
    assert paused.error is None
    database = MemoryDatabase(store)
    for name, expected in (("docs_v1", np.stack(list(new_vectors.values()))), ("docs_v2", vectors)):
        assert database.collection(name).read(range(POINTS)).vectors.tobytes() == expected.tobytes()
