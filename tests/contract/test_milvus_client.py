"""How the Milvus connector takes servers that are away, refuse, or have not loaded a collection."""

from __future__ import annotations

import base64
import socket
import traceback
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("pymilvus")

import grpc
from pymilvus import MilvusClient
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc

from nudge_sync.config import ConfigError
from nudge_sync.connector import Record, connect
from nudge_sync.errors import (
    CollectionNotFound,
    DiskFull,
    Unauthorised,
    Unreachable,
    UnsupportedCollection,
)
from nudge_sync.testing.engine import unit_rows
from nudge_sync_milvus import ingest
from nudge_sync_milvus.errors import SecretRedactor, raise_for_status

NAME = "nudge_connection"


@pytest.fixture
def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_nobody_listens(closed_port, monkeypatch):
    monkeypatch.setenv("MILVUS_TOKEN", "root:planted-secret")
    with pytest.raises(Unreachable, match=f"127.0.0.1:{closed_port}") as caught:
        connect("milvus", {"uri": f"http://127.0.0.1:{closed_port}"})
    assert caught.value.transient
    assert "planted-secret" not in f"{caught.value} {caught.value.__cause__}"


class Reflecting(milvus_pb2_grpc.MilvusServiceServicer):
    """Repeats what it was sent, as a proxy's error page may."""

    def __init__(self, *, aborts: bool) -> None:
        self.aborts, self.told = aborts, []

    def GetVersion(self, request, context):  # noqa: N802 - the service's own name
        sent = dict(context.invocation_metadata())["authorization"]
        plain = base64.b64decode(sent).decode()
        password = plain.partition(":")[2]
        # In the middle of a long text, where it is cut.
        told = f"{'x' * 195}{plain} {sent} pass {password}{'y' * 400}{plain}"
        self.told.append(told)
        if self.aborts:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, told)
        return milvus_pb2.GetVersionResponse(status=common_pb2.Status(code=1400, reason=told))


@pytest.mark.parametrize("aborts", [True, False])
def test_a_server_that_throws_the_token_back_does_not_get_it_shown(monkeypatch, aborts):
    token = "root:planted-secret"
    monkeypatch.setenv("MILVUS_TOKEN", token)
    server, servicer = grpc.server(ThreadPoolExecutor(1)), Reflecting(aborts=aborts)
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with pytest.raises(Unauthorised) as caught:
            connect("milvus", {"uri": f"http://127.0.0.1:{port}"})
    finally:
        server.stop(None)
    assert token in servicer.told[0]
    shown = "".join(traceback.format_exception(caught.value))
    assert "***" in shown
    for secret in ("planted-secret", "planted", base64.b64encode(token.encode()).decode()[:12]):
        assert secret not in shown


def test_a_server_that_runs_out_of_time_may_be_asked_again():
    spent = common_pb2.Status(code=65535, reason="proxy TaskCondition context Done")
    with pytest.raises(Unreachable):
        raise_for_status(spent, "Milvus", SecretRedactor(""))


def test_a_server_that_does_not_answer():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(Unreachable):
            connect(
                "milvus",
                {"uri": f"http://127.0.0.1:{silent.getsockname()[1]}", "timeout": 0.5},
            )


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"uri": "localhost:19530"}, "http"),
        ({"uri": "ftp://host"}, "http"),
        ({"uri": "http://user:planted-secret@host"}, "credentials|environment|MILVUS_TOKEN"),
        ({"url": "http://host"}, "uri"),
        ({"uri": "https://host", "ca_pem_path": "/nowhere.pem"}, "/nowhere.pem"),
        ({"uri": "/nowhere/at/all/file.db"}, "folder"),
    ],
)
def test_settings_that_cannot_be(section, words):
    with pytest.raises(ConfigError, match=words) as caught:
        connect("milvus", section)
    assert "planted-secret" not in str(caught.value)


def test_after_close(milvus_server_uri):
    database = connect("milvus", {"uri": milvus_server_uri})
    other = connect("milvus", {"uri": milvus_server_uri})
    database.close()
    with pytest.raises(Unreachable, match="closed"):
        database.describe()
    assert other.describe().product == "Milvus"
    other.close()


def test_two_lite_files_side_by_side(tmp_path):
    first, second = (connect("milvus", {"uri": str(tmp_path / f"{n}.db")}) for n in (1, 2))
    ingest(first, NAME, [1], unit_rows(1, 1, 4), [{}])
    with pytest.raises(CollectionNotFound):
        second.collection(NAME)
    again = connect("milvus", {"uri": str(tmp_path / "1.db")})
    first.close()
    assert again.collection(NAME).read([1]).ids == [1]
    again.close()
    second.close()


def test_lite_loads_after_a_restart(tmp_path):
    section = {"uri": str(tmp_path / "docs.db")}
    database = connect("milvus", section)
    ingest(database, NAME, [1], unit_rows(1, 1, 4), [{}])
    database.records("notes").put([Record("a", {"b": 1})])
    database.close()
    database = connect("milvus", section)
    assert database.collection(NAME).read([1]).ids == [1]
    assert database.records("notes").get(["a"])[0].document == {"b": 1}
    database.close()


def test_a_collection_that_is_not_loaded(milvus_server_uri):
    client = MilvusClient(milvus_server_uri, dedicated=True)
    client.drop_collection(NAME)
    database = connect("milvus", {"uri": milvus_server_uri})
    try:
        ingest(database, NAME, [1, 2], unit_rows(2, 1, 4), [{}, {}])
        client.release_collection(NAME)
        collection = database.collection(NAME)
        assert collection.describe().problems == (f'collection "{NAME}" is not loaded; load it',)
        assert not collection.health().ready
        with pytest.raises(Unreachable, match="load the collection") as caught:
            collection.read([1])
        assert caught.value.transient
        client.load_collection(NAME)
        assert collection.read([1]).ids == [1]
        assert collection.describe().problems == ()
    finally:
        client.drop_collection(NAME)
        client.close()
        database.close()


def test_records_are_loaded_where_they_are_not(milvus_server_uri):
    client = MilvusClient(milvus_server_uri, dedicated=True)
    database = connect("milvus", {"uri": milvus_server_uri})
    records = database.records(f"{NAME}__records", 4)
    records.drop()
    try:
        records.put([Record("a", {}, unit_rows(1, 1, 4)[0])])
        client.release_collection(f"{NAME}__records")
        assert records.count() == 1
        client.release_collection(f"{NAME}__records")
        assert [len(batch) for batch in records.scan()] == [1]
    finally:
        records.drop()
        client.close()
        database.close()


@pytest.mark.slow
@pytest.mark.milvus_server
def test_scores_of_a_quantised_index(milvus_server_uri):
    client = MilvusClient(milvus_server_uri, dedicated=True)
    client.drop_collection(NAME)
    schema = client.create_schema()
    schema.add_field("id", 5, is_primary=True)
    schema.add_field("vector", 101, dim=32)
    params = client.prepare_index_params()
    params.add_index("vector", index_type="IVF_PQ", metric_type="IP", params={"nlist": 16, "m": 4})
    client.create_collection(NAME, schema=schema, index_params=params)
    vectors = unit_rows(3000, 1, 32)
    client.insert(NAME, [{"id": row, "vector": vectors[row]} for row in range(3000)])
    client.flush(NAME)
    database = connect("milvus", {"uri": milvus_server_uri, "search_params": {"nprobe": 16}})
    try:
        collection = database.collection(NAME)
        queries = unit_rows(20, 2, 32)
        hits = collection.search(queries, 10)
        for query, ids, scores in zip(queries, hits.ids, hits.scores, strict=True):
            assert np.allclose(vectors[ids] @ query, scores, atol=1e-6)
            assert (np.diff(scores) <= 0).all()
        exact = collection.search(queries, 10, exact=True)
        best = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
        assert [set(ids) for ids in exact.ids] == [set(row.tolist()) for row in best]
        with pytest.raises(UnsupportedCollection):
            database.collection(NAME, "nowhere")
    finally:
        client.drop_collection(NAME)
        client.close()
        database.close()


@pytest.mark.parametrize(
    "reason",
    [
        "quota exceeded[reason=disk quota exceeded, please allocate more resources]",
        "write /data/wal: no space left on device",
    ],
)
def test_a_server_without_room_is_said_to_be_full(reason):
    with pytest.raises(DiskFull, match="make room") as caught:
        raise_for_status(common_pb2.Status(code=9, reason=reason), "Upsert", SecretRedactor(""))
    assert not caught.value.transient


def test_a_server_of_a_version_that_nobody_tried_is_noted(connect_milvus, milvus_uri):
    database = connect_milvus()
    notes = database.describe().notes
    if milvus_uri.endswith(".db"):
        assert notes == ()
        return
    assert ["how much room" in note for note in notes] == [True]
    call = database.connection.call

    def answer_as_newer(method, request):
        answer = call(method, request)
        if method == "GetVersion":
            answer.version = "v2.6.4"
        return answer

    database.connection.call = answer_as_newer
    assert "never ran on Milvus 2.6.4" in database.describe().notes[0]
