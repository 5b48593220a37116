"""What is particular to Qdrant Edge: shards, locks, durability, and what it refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

pytest.importorskip("qdrant_edge")

from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    MultiVectorComparator,
    MultiVectorConfig,
    Point,
    ScalarQuantizationConfig,
    ScalarType,
    UpdateOperation,
    VectorStorageDatatype,
)

from nudge_sync.connector import Points, Record, connect
from nudge_sync.errors import (
    CollectionNotFound,
    ConfigError,
    InputError,
    Unreachable,
    UnsupportedCollection,
)
from nudge_sync.testing.engine import unit_rows
from nudge_sync_qdrant_edge import connect as connect_edge
from nudge_sync_qdrant_edge import ingest


@pytest.fixture
def database(directory):
    database = connect("qdrant-edge", {"path": str(directory), "sync": False})
    yield database
    database.close()


def test_one_database_at_a_time(database, directory):
    ingest(database, "docs", range(5), unit_rows(5, seed=0))
    other = connect("qdrant-edge", {"path": str(directory)})
    with pytest.raises(Unreachable, match="another process") as caught:
        other.collection("docs")
    assert caught.value.transient
    assert caught.value.__cause__ is not None
    database.close()
    assert len(other.collection("docs").read(range(5))) == 5
    other.close()


def test_a_shard_that_the_application_has_open(directory):
    config = EdgeConfig(vectors=EdgeVectorParams(size=24, distance=Distance.Cosine))
    shard = EdgeShard.create(str(directory / "docs"), config)
    rows = unit_rows(3, seed=0)
    points = [Point(i, row.tolist(), {}) for i, row in enumerate(rows)]
    shard.update(UpdateOperation.upsert_points(points))
    database = connect_edge({"path": str(directory)}, shards={"docs": shard})
    new = unit_rows(3, seed=1)
    database.collection("docs").write(Points([0, 1, 2], new), rows)
    database.records("docs__nudge_x").put([Record("a", {})])
    database.close()
    found = shard.retrieve([0, 1, 2], with_payload=False, with_vector=True)
    assert np.array_equal(np.array([point.vector for point in found], np.float32), new)
    shard.close()


@pytest.mark.parametrize("name", ["../docs", "a/b", "", ".", "..", ".hidden", "x" * 300, "a\0b"])
def test_names_stay_below_the_directory(database, directory, name):
    outside = sorted(directory.parent.iterdir())
    with pytest.raises(CollectionNotFound):
        database.collection(name)
    records = database.records(name)
    assert records.get(["a"]) == []
    with pytest.raises(InputError, match="cannot name a collection"):
        records.put([Record("a", {})])
    records.drop()
    assert sorted(directory.parent.iterdir()) == outside


def test_only_what_stores_makes_a_directory_and_a_file_is_refused(directory):
    database = connect("qdrant-edge", {"path": str(directory / "new" / "deep")})
    assert not (directory / "new").exists()
    database.records("docs__nudge_events").put([Record("k", {"a": 1})])
    assert (directory / "new" / "deep").is_dir()
    database.close()
    (directory / "file").write_text("")
    with pytest.raises(ConfigError, match=r"database\.path"):
        connect("qdrant-edge", {"path": str(directory / "file")})
    with pytest.raises(ConfigError, match="did you mean 'path'"):
        connect("qdrant-edge", {"pth": "x"})


def test_cosine_refuses_what_it_would_rescale(database):
    rows = unit_rows(4, seed=0)
    ingest(database, "docs", range(4), rows)
    collection = database.collection("docs")
    new = unit_rows(4, seed=1)
    new[3] *= np.float32(1.001)
    with pytest.raises(InputError, match=r'point 3 in "docs".*cosine'):
        collection.write(Points(range(4), new), rows)
    assert np.array_equal(collection.read(range(4)).vectors, rows)


def test_what_was_read_can_be_written_back(database):
    rows = np.random.default_rng(0).standard_normal((2000, 96)).astype(np.float32)
    ingest(database, "docs", range(2000), rows)
    collection = database.collection("docs")
    stored = collection.read(range(2000)).vectors
    moved = np.roll(stored, 1, axis=0)
    assert len(collection.write(Points(list(range(2000)), moved), stored).written) == 2000
    assert len(collection.write(Points(list(range(2000)), stored), moved).written) == 2000
    assert np.array_equal(collection.read(range(2000)).vectors, stored)


def test_collections_that_cannot_be_written(database):
    size = {"size": 4, "distance": Distance.Cosine}
    multi = MultiVectorConfig(MultiVectorComparator.MaxSim)
    vectors = {
        "half": EdgeVectorParams(**size, datatype=VectorStorageDatatype.Float16),
        "many": EdgeVectorParams(**size, multivector_config=multi),
        "taxi": EdgeVectorParams(size=4, distance=Distance.Manhattan),
        "fine": EdgeVectorParams(**size),
    }
    config = EdgeConfig(vectors=vectors, sparse_vectors={"words": EdgeSparseVectorParams()})
    database._shards.create("docs", config)
    for name, reason in (
        ("many", '"many".*multi-vector.*dense vector'),
        ("taxi", '"taxi".*Manhattan.*Cosine'),
        ("words", '"words".*sparse.*"fine"'),
        ("", 'no default vector.*"fine", "half"'),
        ("other", 'no vector "other".*"fine"'),
    ):
        with pytest.raises(UnsupportedCollection, match=reason):
            database.collection("docs", name)
    half = database.collection("docs", "half")
    assert 'vector "half" of "docs" is stored as float16' in half.describe().problems[0]
    rows = unit_rows(1, seed=0, dimension=4)
    with pytest.raises(UnsupportedCollection, match="float32 vector would work"):
        half.write(Points([1], rows), rows)
    assert database.collection("docs", "fine").describe().problems == ()


def test_an_only_named_vector_is_the_default(database):
    ingest(database, "docs", range(3), unit_rows(3, seed=0), vector="title")
    assert database.collection("docs").describe().vector == "title"


def test_points_without_the_vector_are_missing(database):
    params = EdgeVectorParams(size=24, distance=Distance.Cosine)
    database._shards.create("docs", EdgeConfig(vectors={"a": params, "b": params}))
    rows = unit_rows(2, seed=0)
    points = [Point(0, {"a": rows[0].tolist()}), Point(1, {"b": rows[1].tolist()})]
    database.shard("docs").update(UpdateOperation.upsert_points(points))
    collection = database.collection("docs", "a")
    assert collection.read([0, 1]).ids == [0]
    assert [batch.ids for batch in collection.scan()] == [[0]]
    report = collection.write(Points([0, 1], unit_rows(2, seed=1)), rows)
    assert (report.written, report.missing) == ([0], [1])
    assert database.collection("docs", "b").read([0, 1]).ids == [1]


def test_a_quantised_index_is_rescored(database):
    quantised = ScalarQuantizationConfig(ScalarType.Int8)
    params = EdgeVectorParams(size=64, distance=Distance.Cosine, quantization_config=quantised)
    database._shards.create("docs", EdgeConfig(vectors=params))
    rows = unit_rows(3000, seed=0, dimension=64)
    shard = database.shard("docs")
    points = [Point(i, row.tolist(), {}) for i, row in enumerate(rows)]
    shard.update(UpdateOperation.upsert_points(points))
    shard.optimize()
    queries = unit_rows(5, seed=1, dimension=64)
    collection = database.collection("docs")
    hits = collection.search(queries, 10)
    for query, ids, scores in zip(queries, hits.ids, hits.scores, strict=True):
        np.testing.assert_allclose(scores, rows[ids] @ query, atol=2e-6)
    new = unit_rows(500, seed=2, dimension=64)
    assert len(collection.write(Points(list(range(500)), new), rows[:500]).written) == 500
    shard.optimize()
    assert np.array_equal(collection.read(range(500)).vectors, new)


@pytest.mark.parametrize("mark", [None, "_nudge_sync"])
def test_racing_with_the_application(directory, mark):
    """A thread upserts without a pause; a row that holds our vector under its later payload
    was overwritten.
    """
    section = {"path": str(directory), "sync": False} | ({"payload_mark": mark} if mark else {})
    database = connect("qdrant-edge", section)
    ingest(database, "docs", range(50), unit_rows(50, seed=0), [{"n": 0}] * 50)
    collection, shard = database.collection("docs"), database.shard("docs")
    stop, written, overwritten = threading.Event(), 0, 0

    def application():
        seed = 1000
        while not stop.is_set():
            row = unit_rows(1, seed=seed)[0].tolist()
            shard.update(UpdateOperation.upsert_points([Point(seed % 50, row, {"n": seed})]))
            seed += 1

    def stored():
        found = shard.retrieve(list(range(50)), with_payload=True, with_vector=True)
        assert all(set(point.payload) <= {"n", mark} for point in found)
        vectors = np.array([point.vector for point in found], np.float32)
        return [point.payload["n"] for point in found], vectors

    thread = threading.Thread(target=application)
    thread.start()
    try:
        for seed in range(60):
            before, live = stored()
            new = unit_rows(50, seed=seed)
            report = collection.write(Points(list(range(50)), new), live)
            written += len(report.written)
            after, now = stored()
            ours = (now == new).all(axis=1)
            overwritten += sum(ours[i] and before[i] != after[i] for i in range(50))
    finally:
        stop.set()
        thread.join()
        database.close()
    assert written
    assert not (mark and overwritten)


CHILD = """
    import sys
    import numpy as np
    from nudge_sync.connector import Points, Record, connect
    from nudge_sync.testing.engine import unit_rows

    database = connect("qdrant-edge", {"path": sys.argv[1], "sync": False})
    collection, records = database.collection("docs"), database.records("docs__nudge_x", 24)
    live = collection.read(range(20))
    for step in range(1, 100_000):
        new = unit_rows(20, seed=step)
        records.put([Record(f"{step}", {"step": step}, new[0])])
        collection.write(Points(live.ids, new), live.vectors)
        live = Points(live.ids, new)
        print(step, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
def test_a_killed_process_loses_nothing_acknowledged(directory, acknowledged):
    database = connect("qdrant-edge", {"path": str(directory)})
    ingest(database, "docs", range(20), unit_rows(20, seed=0))
    database.close()
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    with child:
        for _ in range(acknowledged):
            assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        lines = child.stdout.read().split()
    done = max([acknowledged, *map(int, lines)])
    database = connect("qdrant-edge", {"path": str(directory)})
    records = database.records("docs__nudge_x", 24)
    found = records.get([str(step) for step in range(1, done + 1)])
    assert [item.document["step"] for item in found] == list(range(1, done + 1))
    for item in found:
        assert np.array_equal(item.vector, unit_rows(20, seed=int(item.key))[0])
    live = database.collection("docs").read(range(20)).vectors
    later = [unit_rows(20, seed=done), unit_rows(20, seed=done + 1)]
    rows = {row.tobytes() for row in np.concatenate(later)}
    assert all(row.tobytes() in rows for row in live)
    database.close()


def test_a_shard_half_made_is_made_again(database, directory):
    half = directory / ".new-docs__nudge_x"
    (half / "segments").mkdir(parents=True)
    database.records("docs__nudge_x").put([Record("a", {"b": 1})])
    assert not half.exists()
    assert database.records("docs__nudge_x").get(["a"]) == [Record("a", {"b": 1})]


def test_records_of_another_dimension(database):
    database.records("r", 24).put([Record("a", {}, unit_rows(1, seed=0)[0])])
    database.records("r", 12).put([Record("b", {}, np.ones(12, np.float32))])
    stored = database.records("r", 12).get(["a", "b"])
    assert [len(record.vector) for record in stored] == [24, 12]


def test_flushing_to_disk(directory):
    database = connect("qdrant-edge", {"path": str(directory)})
    rows = unit_rows(3, seed=0)
    ingest(database, "docs", range(3), rows)
    database.collection("docs").write(Points([0, 1, 2], unit_rows(3, seed=1)), rows)
    database.records("r").put([Record("a", {})])
    assert not database._shards._unflushed
    database.close()
