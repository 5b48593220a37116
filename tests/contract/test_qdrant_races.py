"""The Qdrant connector and an application that writes at the same time; in local mode."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("qdrant_client")

from qdrant_client.models import (
    CollectionInfo,
    Datatype,
    Distance,
    MultiVectorComparator,
    MultiVectorConfig,
    PointStruct,
    PointVectors,
    SparseVectorParams,
    UpdateResult,
    UpdateStatus,
    VectorParams,
)

from nudge_sync.connector import Points, Record, connect
from nudge_sync.errors import (
    DatabaseError,
    Unreachable,
    UnsupportedCollection,
    WriteNotVerified,
)
from nudge_sync.testing.engine import unit_rows
from nudge_sync_qdrant import ingest
from nudge_sync_qdrant.collection import QdrantCollection

# Local mode, for what needs an engine behind


@pytest.fixture(params=[{}, {"payload_mark": "_nudge_sync"}], ids=["plain", "marked"])
def database(request):
    database = connect("qdrant", {"location": ":memory:", **request.param})
    ingest(database, "docs", range(20), unit_rows(20, seed=0), [{"n": n} for n in range(20)])
    yield database
    database.close()


def between(monkeypatch, client, act):
    """Have the application act right before the next update of vectors reaches the engine."""
    plain = client.update_vectors

    def update_vectors(*args, **kwargs):
        monkeypatch.setattr(client, "update_vectors", plain)
        act()
        return plain(*args, **kwargs)

    monkeypatch.setattr(client, "update_vectors", update_vectors)


def test_an_upsert_within_the_window(database, monkeypatch):
    client, collection = database.connection.client, database.collection("docs")
    theirs = unit_rows(1, seed=7)[0]
    live = collection.read(range(20))
    point = PointStruct(id=3, vector=theirs.tolist(), payload={"fresh": True})
    between(monkeypatch, client, lambda: client.upsert("docs", [point]))
    report = collection.write(Points(live.ids, unit_rows(20, seed=1)), live.vectors)
    (found,) = client.retrieve("docs", [3], with_vectors=True)
    kept = np.allclose(found.vector, theirs, atol=1e-6)
    if database.connection.settings.payload_mark:
        assert kept
        assert report.drifted == [3]
    else:
        # The window that the class docstring names; the payload is the application's anyhow.
        assert not kept
    assert found.payload == {"fresh": True}
    assert len(report.written) == 19 + (not kept)


def test_a_delete_within_the_window(database, monkeypatch):
    client, collection = database.connection.client, database.collection("docs")
    live = collection.read(range(20))
    between(monkeypatch, client, lambda: client.delete("docs", [3]))
    report = collection.write(Points(live.ids, unit_rows(20, seed=1)), live.vectors)
    assert report.missing == [3]
    assert len(report.written) == 19
    assert client.count("docs").count == 19


def test_an_upsert_of_the_same_vector_within_the_window(database, monkeypatch):
    client, collection = database.connection.client, database.collection("docs")
    live = collection.read(range(20))
    again = PointStruct(id=3, vector=live.vectors[3].tolist(), payload={"fresh": True})
    between(monkeypatch, client, lambda: client.upsert("docs", [again]))
    report = collection.write(Points(live.ids, unit_rows(20, seed=1)), live.vectors)
    assert len(report.written) == 20
    (found,) = client.retrieve("docs", [3])
    assert found.payload == {"fresh": True}


def test_no_mark_is_left(database):
    client, collection = database.connection.client, database.collection("docs")
    live = collection.read(range(20))
    collection.write(Points(live.ids, unit_rows(20, seed=1)), live.vectors)
    found = client.retrieve("docs", list(range(20)))
    assert [point.payload for point in found] == [{"n": n} for n in range(20)]


def test_a_request_that_fails_takes_its_mark_along(database, monkeypatch):
    client, collection = database.connection.client, database.collection("docs")
    live = collection.read(range(20))

    def fail():
        raise TimeoutError

    between(monkeypatch, client, fail)
    with pytest.raises(DatabaseError):
        collection.write(Points(live.ids, unit_rows(20, seed=1)), live.vectors)
    found = client.retrieve("docs", list(range(20)))
    assert [point.payload for point in found] == [{"n": n} for n in range(20)]


def test_an_update_that_is_not_carried_out(database, monkeypatch):
    client, collection = database.connection.client, database.collection("docs")
    live = collection.read(range(20))
    result = UpdateResult(operation_id=1, status=UpdateStatus.COMPLETED)
    monkeypatch.setattr(client, "update_vectors", lambda *args, **kwargs: result)
    with pytest.raises(WriteNotVerified):
        collection.write(Points(live.ids, unit_rows(20, seed=1)), live.vectors)


def test_a_swap_that_another_process_wins(monkeypatch):
    database = connect("qdrant", {"location": ":memory:"})
    client, records = database.connection.client, database.records("lease")
    for generation, expected in ((1, None), (2, 1)):
        theirs = Record("lease", {"generation": generation, "by": "them"})
        plain = client.upsert

        def upsert(*args, _plain=plain, _theirs=theirs, **kwargs):
            monkeypatch.setattr(client, "upsert", _plain)
            database.records("lease").put([_theirs])
            return _plain(*args, **kwargs)

        monkeypatch.setattr(client, "upsert", upsert)
        ours = Record("lease", {"generation": generation, "by": "us"})
        assert records.swap(ours, expected) is False
        assert records.get(["lease"])[0].document["by"] == "them"
    database.close()


def test_collections_that_cannot_be_written():
    database = connect("qdrant", {"location": ":memory:"})
    vectors = {
        "half": VectorParams(size=4, distance=Distance.DOT, datatype=Datatype.FLOAT16),
        "many": VectorParams(
            size=4,
            distance=Distance.DOT,
            multivector_config=MultiVectorConfig(comparator=MultiVectorComparator.MAX_SIM),
        ),
    }
    words = {"words": SparseVectorParams()}
    database.connection.client.create_collection("docs", vectors, words)
    rows = unit_rows(1, seed=0, dimension=4)
    with pytest.raises(UnsupportedCollection, match='"half" of "docs" is stored as float16'):
        database.collection("docs", "half").write(Points([1], rows), rows)
    for name in ("many", "words"):
        with pytest.raises(UnsupportedCollection, match=f'"{name}"'):
            database.collection("docs", name)
    database.close()


def test_points_without_the_vector_are_missing():
    database = connect("qdrant", {"location": ":memory:"})
    params = VectorParams(size=24, distance=Distance.DOT)
    client = database.connection.client
    client.create_collection("docs", {"a": params, "b": params})
    rows = unit_rows(2, seed=0)
    client.upsert("docs", [PointStruct(id=0, vector={"a": rows[0].tolist()}, payload={})])
    client.upsert("docs", [PointStruct(id=1, vector={"b": rows[1].tolist()}, payload={})])
    collection = database.collection("docs", "a")
    assert collection.read([0, 1]).ids == [0]
    report = collection.write(Points([0, 1], unit_rows(2, seed=1)), rows)
    assert (report.written, report.missing) == ([0], [1])
    client.update_vectors("docs", [PointVectors(id=1, vector={"a": rows[1].tolist()})])
    assert collection.read([0, 1]).ids == [0, 1]
    database.close()


@pytest.mark.filterwarnings(  # The client leaves the lock's file open that it did not get.
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_one_process_a_directory(directory):
    first = connect("qdrant", {"path": str(directory)})
    with pytest.raises(Unreachable, match="another process"):
        connect("qdrant", {"path": str(directory)})
    first.close()


def test_health_of_a_sound_collection(database):
    collection = database.collection("docs")
    assert isinstance(collection, QdrantCollection)
    assert collection.health().ready


@pytest.mark.parametrize(
    ("status", "optimiser", "ready", "reason"),
    [
        ("green", "ok", True, ""),
        ("yellow", "ok", False, "yellow"),
        ("grey", "ok", False, "grey"),
        ("red", "ok", False, "red"),
        ("green", {"error": "no space left"}, False, "no space left"),
    ],
)
def test_health_by_status(database, monkeypatch, status, optimiser, ready, reason):
    collection = database.collection("docs")
    client = database.connection.client
    info = client.get_collection("docs").model_dump()
    answer = CollectionInfo.model_validate(info | {"status": status, "optimizer_status": optimiser})
    woken = []
    monkeypatch.setattr(client, "get_collection", lambda name: answer)
    monkeypatch.setattr(client, "update_collection", lambda name, **kwargs: woken.append(name))
    health = collection.health()
    assert health.ready is ready
    assert reason in health.reason
    assert woken == (["docs"] if status == "grey" else [])
