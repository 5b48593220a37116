"""No id, key, field value or name breaks out of a filter, a path, an address or a message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import numpy as np
import pytest
from pymilvus.grpc_gen.milvus_pb2 import DropCollectionRequest
from typer.testing import CliRunner

from nudge_sync.cli.app import app
from nudge_sync.connector import Database, Points, Record, connect
from nudge_sync.errors import NudgeSyncError
from nudge_sync.testing.memory import MemoryDatabase
from nudge_sync_milvus import ingest as milvus_ingest
from nudge_sync_qdrant import ingest as qdrant_ingest
from nudge_sync_qdrant_edge import ingest as edge_ingest
from tests.support.collection_fixtures import find_server
from tests.support.workspace import make_workspace

HOSTILE = [
    '"',
    "'",
    "`",
    "\\",
    '\\"',
    "\\\\",
    '\\\\"',
    '"" or id != ""',
    '" or id != "',
    '" or 1 == 1 or id == "',
    "' or 1==1 --",
    '"] or id not in ["',
    '") or (id like "%") or (id == "',
    '\\" or id != \\"',
    "%",
    "_",
    "a%",
    "%%%",
    "id",
    "id in [1]",
    "{id}",
    "{0}",
    "%s",
    "$id",
    "${jndi:ldap://x/a}",
    "{{7*7}}",
    '{"$ne": null}',
    "../docs",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\con",
    "file:///etc/passwd",
    "null",
    "None",
    "true",
    "NaN",
    "-0",
    "0",
    "00",
    "1e3",
    "0x10",
    "18446744073709551616",
    "-9223372036854775809",
    "\n",
    "\r\n",
    "\t",
    "a\nb",
    "\x01\x02",
    "\x1b[2J",
    "\x7f",
    "\u0000x",
    "\u200b",
    "\u202e",
    "\ufeff",
    "\ufffd",
    "\U0001f600",
    "e\u0301",
    "\u00e9",
    "A",
    " a",
    "a ",
    "x" * 65_000,
    "'" * 30_000,
    "\\" * 30_000,
    '"' * 30_000,
    "\U0001f600" * 10_000,
]
PLAIN = ["a", "b", "doc-1"]
DIMENSION = 8


def rows(count: int) -> np.ndarray:
    drawn = np.random.default_rng(1).normal(size=(count, DIMENSION))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def _memory(folder: Path, _: Any, ids: list[Any], name: str) -> Database:
    database = MemoryDatabase()
    database.store.create(name, DIMENSION, integer_ids=False)
    database.store.upsert(name, ids, rows(len(ids)))
    return database


def _edge(folder: Path, _: Any, ids: list[Any], name: str) -> Database:
    database = connect("qdrant-edge", {"path": str(folder), "sync": False})
    edge_ingest(database, name, list(range(len(ids))), rows(len(ids)))
    return database


def _qdrant(folder: Path, section: Any, ids: list[Any], name: str) -> Database:
    database = connect("qdrant", section)
    qdrant_ingest(database, name, list(range(len(ids))), rows(len(ids)))
    return database


def _milvus(folder: Path, uri: Any, ids: list[Any], name: str) -> Database:
    database = connect("milvus", {"uri": uri or str(folder / "milvus.db")})
    milvus_ingest(database, name, ids, rows(len(ids)), [{} for _ in ids])
    return database


# Each opens a database that holds the ids in a collection of this name.
MAKERS = {
    "memory": _memory,
    "qdrant-edge": _edge,
    "qdrant": _qdrant,
    "milvus-lite": _milvus,
    "milvus": _milvus,
}
STORED = [*PLAIN, *[text for text in HOSTILE if "\x00" not in text][::2]]
NAME = f"hostile_{uuid4().hex[:8]}"


@pytest.fixture(scope="module", params=list(MAKERS))
def engine(request, tmp_path_factory) -> Iterator[tuple[Database, list[Any]]]:
    server = find_server(request, request.param)
    database = MAKERS[request.param](tmp_path_factory.mktemp("engine"), server, STORED, NAME)
    stored_ids = list(range(len(STORED))) if request.param.startswith("qdrant") else STORED
    try:
        yield database, stored_ids
    finally:
        if request.param == "qdrant":
            database.connection.client.delete_collection(NAME)
        if request.param == "milvus":
            database.connection.call("DropCollection", DropCollectionRequest(collection_name=NAME))
        database.close()


def test_a_hostile_id_finds_itself_or_nothing(engine):
    database, stored_ids = engine
    collection = database.collection(NAME)
    known = set(stored_ids)
    for text in HOSTILE:
        assert collection.read([text]).ids == [text] * (text in known), repr(text)[:60]
    asked = [*HOSTILE, "\ud800", "", "y" * 100_000, -1, 2**64, -(2**64), 10**400]
    assert collection.read(asked).ids == [text for text in asked if text in known]


def test_a_write_to_a_hostile_id_changes_that_point_alone(engine):
    database, stored_ids = engine
    collection = database.collection(NAME)
    before = collection.read(stored_ids).vectors
    chosen = [stored_ids[-1], stored_ids[len(stored_ids) // 2]]
    rest = [point for point in stored_ids if point not in chosen]
    live = collection.read(chosen).vectors
    turned = np.roll(live, 1, axis=1)
    unknown = [text for text in HOSTILE if text not in set(stored_ids)]
    report = collection.write(Points(chosen, turned), live)
    assert report.written == chosen
    report = collection.write(Points(unknown, rows(len(unknown))), rows(len(unknown)))
    assert (sorted(report.missing, key=str), report.written) == (sorted(unknown, key=str), [])
    kept = [row for row, point in enumerate(stored_ids) if point not in chosen]
    assert collection.read(rest).vectors.tobytes() == before[kept].tobytes()
    assert collection.describe().points == len(stored_ids)


@pytest.fixture
def records(engine):
    database, _ = engine
    made = database.records(f"{NAME}__nudge_events", 0, ("query_id", "client_id"))
    yield made
    made.drop()


def test_hostile_keys_and_values_match_themselves_alone(records):
    stored = [*PLAIN, *HOSTILE, "\ud800"]
    records.put([Record(text, {"query_id": text, "client_id": "c", "n": 1}) for text in stored])
    assert records.count() == len(stored)
    assert [record.key for record in records.get(stored)] == stored
    for text in [*HOSTILE[:45:3], *HOSTILE[45:]]:
        keys = [record.key for batch in records.scan({"query_id": text}) for record in batch]
        assert keys == [text], repr(text)[:60]
        assert records.count({"client_id": text}) == 0
    records.delete(HOSTILE)
    assert sorted(one.key for batch in records.scan() for one in batch) == sorted(
        [*PLAIN, "\ud800"]
    )


BROKEN = ["../docs", "../../tmp/x", "/etc", "a/b", "a\\b", ".", "..", "", " ", "\x00", "a\x00b"]
BROKEN += [
    ".hidden",
    "-x",
    "a" * 300,
    "\u202e",
    "docs/../docs",
    "%2e%2e",
    "CON",
    "a\nb",
    "~",
    "$HOME",
]


def test_no_collection_name_leaves_the_folder(tmp_path):
    inside = tmp_path / "outer" / "shards"
    inside.mkdir(parents=True)
    database = connect("qdrant-edge", {"path": str(inside), "sync": False})
    before = sorted(tmp_path.rglob("*"))
    for name in BROKEN:
        with pytest.raises(NudgeSyncError):
            database.collection(name)
        records = database.records(f"{name}__nudge_originals", 2)
        assert records.count() == 0
        try:
            records.put([Record("k", {"a": 1}, np.ones(2, np.float32))])
        except NudgeSyncError:
            assert sorted(tmp_path.rglob("*")) == before, name
        else:
            assert (inside / f"{name}__nudge_originals").resolve().parent == inside.resolve()
            records.drop()
    database.close()
    assert {path.name for path in (tmp_path / "outer").iterdir()} == {"shards"}


@pytest.mark.parametrize("name", BROKEN)
def test_no_configured_name_leaves_the_folder_or_shows_a_traceback(tmp_path, name):
    config = tmp_path / "x.toml"
    shards = tmp_path / "outer" / "shards"
    config.write_text(
        f'[database]\nconnector = "qdrant-edge"\npath = {json.dumps(str(shards))}\n'
        f"[collections.{json.dumps(name)}]\n",
        encoding="utf-8",
    )
    for verb in (["plan"], ["apply", "--yes"], ["rollback", "--yes"], ["verify"], ["log"], ["gc"]):
        done = CliRunner().invoke(app, [*verb, "--config", str(config), "--json"])
        assert done.exit_code in {1, 2}, (verb, done.output)
        assert isinstance(done.exception, SystemExit), (verb, done.exception)
        assert "Traceback" not in done.output
    found = list((tmp_path / "outer").rglob("*")) if shards.parent.exists() else []
    assert [path for path in found if path != shards] == []


def test_control_characters_do_not_reach_the_terminal(tmp_path):
    workspace = make_workspace(tmp_path / "shop")
    evil = "\x1b]0;owned\x07\x1b[2Jrow\r"
    workspace.feedback_path.write_text(
        json.dumps({"query_id": evil, "action": "click", "point": evil})
    )
    variables = {"NUDGE_SYNC_CONFIG": str(workspace.config_path)}
    for words in (
        ["feedback", "import", str(workspace.feedback_path), "--strict"],
        ["feedback", "import", str(workspace.feedback_path)],
        ["log", "--collection", evil],
        ["show", "7", "--collection", evil],
        ["check", "--config", str(tmp_path / evil)],
        ["apply", "--yes", "--plan", str(tmp_path / evil)],
    ):
        done = CliRunner().invoke(app, words, env=variables)
        assert isinstance(done.exception, SystemExit) or done.exception is None
        assert "\x1b" not in done.output, words
        assert "\x07" not in done.output, words


@pytest.mark.parametrize(
    "name", ["a/b", "../../telemetry", "docs?x=1", "docs#x", "%2e%2e/x", "a\nb"]
)
def test_no_collection_name_leaves_its_place_in_an_address(name):
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        database = connect("qdrant", {"url": f"http://127.0.0.1:{server.server_address[1]}"})
        with pytest.raises(NudgeSyncError):
            database.collection(name).describe()
        database.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert set(asked) <= {"/", f"/collections/{quote(name, safe='')}"}
