"""A Qdrant server's answers, over REST and gRPC, and what its version lets the connector do."""

from __future__ import annotations

import json
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("qdrant_client")

import grpc
from qdrant_client.models import UpdateResult, UpdateStatus

from nudge_sync.connector import Record, connect
from nudge_sync.errors import (
    CollectionNotFound,
    ConfigError,
    DatabaseError,
    DiskFull,
    Unauthorised,
    Unreachable,
)
from nudge_sync_qdrant.client import CONDITIONAL_UPDATE_RELEASE, UPDATE_MODE_RELEASE
from nudge_sync_qdrant_common import record_codec
from tests.support.canned_server import Answers, start_server
from tests.support.collection_info import make_cluster_status

SECRET = "s3cr3t-k3y"


@pytest.fixture
def server(monkeypatch):
    """A web server with one answer, which is asked with a key."""
    monkeypatch.setenv("QDRANT_API_KEY", SECRET)
    with start_server(Answers) as handler:
        yield handler


def error(text):
    return {"status": {"error": text}, "time": 0.0}


@pytest.mark.parametrize(
    ("status", "body", "kind", "transient"),
    [
        (401, error("Must provide an API key"), Unauthorised, False),
        (403, error(f"Forbidden for {SECRET}"), Unauthorised, False),
        (404, error("Not found: Collection `docs` doesn't exist!"), CollectionNotFound, False),
        (400, error("Bad request: filter"), DatabaseError, False),
        (500, error("Service internal error: panic"), DatabaseError, False),
        (500, error("Service internal error: No space left on device: WAL"), DiskFull, False),
        (400, error("Bad request: Disk usage is at 91% of total capacity"), DiskFull, False),
        (503, error("Service unavailable"), Unreachable, True),
        (502, "<html>", Unreachable, True),
        (200, {"result": "not a collection"}, DatabaseError, False),
    ],
)
def test_answers_of_a_server_become_errors(server, status, body, kind, transient):
    server.status, server.body = status, body
    with pytest.raises(DatabaseError) as caught:
        connect("qdrant", server.section).collection("docs")
    assert type(caught.value) is kind
    assert caught.value.transient is transient
    # The client's own exception comes along, unless it repeats the key.
    assert (caught.value.__cause__ is None) is (SECRET in json.dumps(body))
    assert '"docs"' in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert server.seen[0][:2] == ("/collections/docs", SECRET)


class Versioned(Answers):
    """A server of one version, without a cluster and without collections."""

    version = ""

    def answer(self):
        results = {"/cluster": {"status": "disabled"}, "/collections": {"collections": []}}
        self.body = {"title": "qdrant", "version": self.version}
        if self.path in results:
            self.body = {"result": results[self.path], "status": "ok", "time": 0.0}
        super().answer()

    do_GET = answer  # noqa: N815


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("1.15.4", "older than 1.16"),
        ("1.18.3", ""),
        ("1.999.0", "newer than qdrant-client"),
    ],
)
def test_a_version_that_the_connector_is_not_made_for_is_noted(version, sentence):
    with start_server(Versioned) as handler:
        handler.version = version
        *notes, room = connect("qdrant", handler.section).describe().notes
    assert len(notes) == bool(sentence)
    assert all(sentence in note for note in notes)
    assert "how much room" in room


class Replicas(Answers):
    """A record of which one copy of two knows nothing: what a majority says leaves it out."""

    is_cluster = True

    def answer(self):
        record = record_codec.encode_record(Record("1:7", {"revision": 1}))
        point = {"id": record_codec.hash_key("1:7"), "payload": record, "version": 1}
        if self.path == "/cluster":
            result = make_cluster_status() if self.is_cluster else {"status": "disabled"}
        elif "/scroll" in self.path:
            result = {"points": [point], "next_page_offset": None}
        else:
            result = [] if "consistency=majority" in self.path else [point]
        self.body = {"result": result, "status": "ok", "time": 0.0}
        super().answer()

    do_GET = do_POST = answer  # noqa: N815


@pytest.fixture
def replicas():
    with start_server(Replicas) as handler:
        yield handler


def test_a_record_on_which_replicas_differ_is_not_taken_for_missing(replicas):
    records = connect("qdrant", replicas.section).records("docs__nudge_history", 4)
    with pytest.raises(Unreachable, match="replicas disagree on record '1:7'"):
        records.get(["1:7"])


def test_a_record_on_which_replicas_differ_is_not_left_out_of_a_scan(replicas):
    records = connect("qdrant", replicas.section).records("docs__nudge_history", 4)
    with pytest.raises(Unreachable, match="replicas disagree on record '1:7'"):
        list(records.scan())


def test_a_server_alone_is_asked_once(replicas):
    replicas.is_cluster = False
    records = connect("qdrant", replicas.section).records("docs__nudge_history", 4)
    assert [record.key for record in records.get(["1:7"])] == ["1:7"]
    assert len(replicas.seen) == 2  # whether it is a cluster, and the record


def test_too_many_requests_are_transient(server):
    server.status, server.body = 429, error("Too many requests")
    server.headers_sent = {"Retry-After": "7"}
    with pytest.raises(Unreachable, match="after 7 s"):
        connect("qdrant", server.section).describe()


@pytest.mark.parametrize("extra", [{}, {"prefer_grpc": True}])
def test_nobody_there(extra, monkeypatch):
    monkeypatch.setenv("QDRANT_API_KEY", SECRET)
    section = {"url": "http://127.0.0.1:9", "grpc_port": 9, "timeout": 2, **extra}
    database = connect("qdrant", section)
    for ask in (database.describe, lambda: database.collection("docs")):
        with pytest.raises(Unreachable) as caught:
            ask()
        assert caught.value.transient
        assert SECRET not in str(caught.value)
    database.close()


class Refuses(grpc.GenericRpcHandler):
    """One gRPC status to every call, and what was called with which key."""

    def __init__(self, code, text):
        self.code, self.text, self.seen = code, text, []

    def service(self, details):
        def refuse(request, context):
            key = dict(details.invocation_metadata).get("api-key")
            self.seen.append((details.method, key))
            context.abort(self.code, self.text)

        return grpc.unary_unary_rpc_method_handler(refuse)


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        ("UNAVAILABLE", "connection reset", Unreachable),
        ("DEADLINE_EXCEEDED", "Timeout", Unreachable),
        ("UNAUTHENTICATED", f"bad key {SECRET}", Unauthorised),
        ("PERMISSION_DENIED", "read only", Unauthorised),
        ("NOT_FOUND", "Not found: Collection `docs` doesn't exist!", CollectionNotFound),
        ("INVALID_ARGUMENT", "Wrong input", DatabaseError),
    ],
)
def test_grpc_answers_become_errors(monkeypatch, code, text, kind):
    monkeypatch.setenv("QDRANT_API_KEY", SECRET)
    refuses = Refuses(grpc.StatusCode[code], text)
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((refuses,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    section = {"url": "http://127.0.0.1:9", "grpc_port": port, "prefer_grpc": True, "timeout": 5}
    database = connect("qdrant", section)
    try:
        with pytest.raises(DatabaseError) as caught:
            database.collection("docs")
    finally:
        database.close()
        server.stop(None).wait()
    assert type(caught.value) is kind
    assert SECRET not in str(caught.value)
    calls = ["Get", "List"] if kind is CollectionNotFound else ["Get"]
    assert refuses.seen == [(f"/qdrant.Collections/{call}", SECRET) for call in calls]


@pytest.mark.parametrize(
    ("version", "conditional", "modes"),
    [
        ("1.15.4", False, False),
        ("1.16.0", True, False),
        ("v1.17.2-dev", True, True),
        ("2.0.0", True, True),
        ("dev", False, False),
    ],
)
def test_what_a_version_can_do(server, version, conditional, modes):
    server.body = {"title": "qdrant", "version": version}
    connection = connect("qdrant", server.section).connection
    assert connection.is_at_least(CONDITIONAL_UPDATE_RELEASE) is conditional
    assert connection.is_at_least(UPDATE_MODE_RELEASE) is modes


def test_a_mark_needs_conditional_updates(server):
    server.body = {"title": "qdrant", "version": "1.15.0"}
    with pytest.raises(ConfigError, match=r"1\.16"):
        connect("qdrant", {**server.section, "payload_mark": "_m"}).collection("docs")


@pytest.mark.parametrize("status", [UpdateStatus.ACKNOWLEDGED, UpdateStatus.WAIT_TIMEOUT])
def test_acknowledged_is_not_completed(status):
    connection = connect("qdrant", {"location": ":memory:"}).connection
    with pytest.raises(Unreachable, match="not completed"):
        connection.require_completed("docs", UpdateResult(operation_id=1, status=status))
