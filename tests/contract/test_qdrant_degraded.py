"""A Qdrant cluster of which a node is down, by the answers that one gives then."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("qdrant_client")

import grpc
from httpx import Headers
from qdrant_client.http.exceptions import UnexpectedResponse

from nudge_sync.connector import Record, Replication, connect
from nudge_sync.errors import DatabaseError, DiskFull, Unreachable
from nudge_sync_qdrant.client import CONDITIONAL_UPDATE_RELEASE, UPDATE_MODE_RELEASE
from nudge_sync_qdrant.errors import ReplicaUnavailable, translate_error
from nudge_sync_qdrant_common import record_codec
from tests.support.canned_server import Answers, start_server
from tests.support.collection_info import make_cluster_status, make_collection_info

HERE, DEAD = 1, 3
DONE = {"operation_id": 1, "status": "completed"}
# What Qdrant 1.18.3 said, word by word but for the numbers of its nodes and ports.
REFUSED = (
    "Service internal error: Tonic status error: code: 'The service is currently unavailable', "
    'message: "Failed to connect to http://127.0.0.1:6365/, error: transport error"'
)
SILENCE = f"Error in closure supplied to transport channel pool: {REFUSED}"
NOT_ENOUGH = (
    "Service internal error: The replica set for shard 0 on peer 1 does not have enough active "
    "replicas"
)
UNANSWERED = f"Service internal error: 1 of 2 read operations failed:\n  {REFUSED}"
FIRST_UNANSWERED = (
    "Service internal error: 1 of 2 read operations failed:\n  Service internal error: Tonic "
    "status error: code: 'The service is currently unavailable', message: \"tcp connect error\", "
    'source: tonic::transport::Error(Transport, ConnectError(ConnectError("tcp connect error", '
    '127.0.0.1:6365, Os { code: 111, kind: ConnectionRefused, message: "Connection refused" })))'
)
LEADERLESS = (
    "Service internal error: 1 out of 3 shards failed to apply operation. First error captured: "
    "Service internal error: Failed to apply update with Strong ordering via leader peer 3: "
    f"{REFUSED}"
)
# From its source: what a node that is cut off from the others says after half a minute.
TIMED_OUT = (
    "Service internal error: Some replica of shard 0 failed to apply operation and deactivation "
    "timed out after 30s. Consistency of this update is not guaranteed. Please retry. Failed peer: "
    f"3, error: {REFUSED}"
)


class Degraded(Answers):
    """Node 1 of three, of which node 3 is down. One shard, with copies on both.

    Consensus takes the copy on node 3 for active until an update has failed on it, unless
    `is_cut_off`: then nothing changes that.
    """

    is_cut_off = False
    may_write = True
    state = "Active"

    def answer(self):
        self.status, result = self.choose_answer()
        is_good = self.status == 200
        text = {"status": "ok" if is_good else {"error": result}, "time": 0.0}
        self.body = {"result": result, **text} if is_good else text
        super().answer()

    def choose_answer(self):
        if self.path == "/cluster":
            return 200, make_cluster_status({DEAD: SILENCE})
        if self.path.endswith("/cluster"):
            return 200, self.describe_placement()
        if self.path.endswith("/exists"):
            return 200, {"exists": True}
        if self.command == "GET":
            return 200, make_collection_info({}).model_dump(mode="json")
        if "ordering=" in self.path:
            return self.update()
        return (200, DONE) if self.command == "PUT" else self.read()

    def update(self):
        if "/payload/delete" not in self.path:
            return (500, LEADERLESS) if "ordering=strong" in self.path else (200, DONE)
        if not self.may_write:
            return 403, "Forbidden: Global write access is required"
        if self.is_cut_off:
            return 500, TIMED_OUT
        type(self).state = "Dead"
        return 200, DONE

    def read(self):
        if "consistency=majority" in self.path or "consistency=2" in self.path:
            return 500, UNANSWERED if self.state == "Active" else NOT_ENOUGH
        if "/scroll" in self.path:
            return 200, {"points": [make_point()], "next_page_offset": None}
        return 200, [make_point()]

    def describe_placement(self):
        remote = {"shard_id": 0, "peer_id": DEAD, "state": self.state}
        local = {"shard_id": 0, "points_count": 1, "state": "Active"}
        return {
            "peer_id": HERE,
            "shard_count": 1,
            "local_shards": [local],
            "remote_shards": [remote],
            "shard_transfers": [],
        }

    do_GET = do_POST = do_PUT = answer  # noqa: N815


def make_point():
    payload = record_codec.encode_record(Record("lease", {"generation": 7}))
    return {"id": record_codec.hash_key("lease"), "payload": payload, "version": 1}


@pytest.fixture
def node():
    with start_server(Degraded) as handler:
        yield handler


@pytest.fixture
def records(node):
    return connect("qdrant", node.section).records("docs__nudge_revisions")


def list_requests(node, part):
    return [path for path, _, _ in node.seen if part in path]


def test_how_many_requests_a_read_takes_while_a_node_is_down(node, records):
    counts = []
    for _ in range(3):
        before = len(node.seen)
        records.get(["lease"])
        counts.append(len(node.seen) - before)
    # One where every node answers. The first of all asks for the nodes' versions, once.
    assert counts == [1 + 1 + 9, 1 + 3, 1 + 3]


def test_a_copy_that_is_out_of_use_is_not_waited_for(node, records):
    node.state = "Dead"
    assert [record.document for record in records.get(["lease"])] == [{"generation": 7}]
    assert list_requests(node, "payload/delete") == []


@pytest.mark.parametrize("read", [lambda r: r.get(["lease"]), lambda r: next(r.scan())])
def test_a_copy_that_does_not_answer_is_taken_out_of_use(node, records, read):
    assert [record.document for record in read(records)] == [{"generation": 7}]
    assert node.state == "Dead"
    (request,) = list_requests(node, "payload/delete")
    assert "ordering=weak" in request
    # With one copy less there is nothing to compare, and still never fewer than are active.
    assert "consistency=1" in list_requests(node, "consistency=")[-1]


def test_a_node_that_is_cut_off_decides_nothing(node, records):
    node.is_cut_off = True
    with pytest.raises(ReplicaUnavailable, match=r"node 3 at http://127.0.0.1:6365/"):
        records.get(["lease"])
    assert not [path for path, _, _ in node.seen if path.endswith("/points?consistency=1")]
    with pytest.raises(Unreachable, match="node 3"):
        records.put([Record("lease", {"generation": 8})])
    assert list_requests(node, "ordering=medium") == []


def test_whoever_may_only_read_reads_what_there_is(node, records):
    node.may_write = False
    assert [record.document for record in records.get(["lease"])] == [{"generation": 7}]
    assert node.state == "Active"


def test_the_next_node_orders_updates_once_the_first_is_out_of_use(node, records):
    records.put([Record("lease", {"generation": 8})])
    kinds = [
        part
        for path, _, _ in node.seen
        for part in ("ordering=strong", "payload/delete", "ordering=medium")
        if part in path
    ]
    assert kinds == ["ordering=strong", "payload/delete", "ordering=medium"]
    records.delete(["lease"])
    assert len(list_requests(node, "ordering=medium")) == 2


@pytest.mark.parametrize("text", [NOT_ENOUGH, UNANSWERED, FIRST_UNANSWERED, TIMED_OUT, REFUSED])
def test_a_node_that_is_down_is_waited_for_over_rest_and_grpc(text):
    answer = UnexpectedResponse(500, "Internal", json.dumps(error(text)).encode(), Headers())
    for translated in (translate_error(answer, '"docs"', None), translate_error(Rpc(text), "", "")):
        assert type(translated) is ReplicaUnavailable
        assert translated.transient
    assert translate_error(Rpc(LEADERLESS), '"docs"', None).peer == DEAD


@pytest.mark.parametrize(
    "text",
    [
        "Service internal error: No space left on device: WAL buffer size exceeds available disk",
        "Wrong input: Vector dimension error: expected dim: 4, got 5",
        "Bad request: Index required but not found",
    ],
)
def test_what_will_not_go_away_is_not_waited_for(text):
    expected = DiskFull if "No space left" in text else DatabaseError
    translated = translate_error(Rpc(text), '"docs"', None)
    assert type(translated) is expected
    assert not translated.transient


class Rpc(grpc.RpcError):
    """A failed call."""

    def __init__(self, text):
        self.text = text

    def code(self):
        return grpc.StatusCode.INTERNAL

    def details(self):
        return self.text


def error(text):
    return {"status": {"error": text}, "time": 0.0}


def test_copies_are_counted_by_their_state(node):
    database = connect("qdrant", node.section)
    assert database.replication("docs__nudge_revisions") == Replication(1, 2, 2)
    node.state = "Dead"
    assert database.replication("docs__nudge_revisions") == Replication(1, 2, 1)


class Versions(Answers):
    """Node 1 of three, each of its own version; `None`: it does not tell."""

    versions: dict[int, str | None] = {1: "1.18.3", 2: "1.18.3", 3: "1.18.3"}  # noqa: RUF012
    silent: dict[int, str] = {}  # noqa: RUF012

    def answer(self):
        if self.path == "/":
            self.body = {"title": "qdrant", "version": self.versions[1]}
        elif self.path == "/cluster":
            self.body = {"result": make_cluster_status(self.silent), "status": "ok", "time": 0.0}
        elif self.path.startswith("/cluster/telemetry"):
            cluster = {
                "enabled": True,
                "number_of_peers": 3,
                "peers": {str(peer): describe_peer(self.versions[peer]) for peer in self.versions},
            }
            result = {"collections": {}, "cluster": cluster}
            self.body = {"result": result, "status": "ok", "time": 0.0}
        else:
            self.body = {"result": {"collections": []}, "status": "ok", "time": 0.0}
        super().answer()

    do_GET = answer  # noqa: N815


def describe_peer(version):
    peer = {"uri": "http://127.0.0.1:6335/", "responsive": version is not None}
    if version is not None:
        peer["details"] = {
            "version": version,
            "role": "Follower",
            "is_voter": True,
            "term": 1,
            "commit": 1,
            "num_pending_operations": 0,
            "consensus_thread_status": {
                "consensus_thread_status": "working",
                "last_update": "2026-05-01T12:00:00.000000Z",
            },
        }
    return peer


@pytest.mark.parametrize(
    ("versions", "silent", "conditional", "modes", "shown"),
    [
        (("1.18.3", "1.18.3", "1.18.3"), {}, True, True, "1.18.3"),
        (("1.18.3", "1.18.3", "1.15.5"), {}, False, False, "1.15.5 to 1.18.3"),
        (("1.18.3", "1.16.3", "1.17.0"), {}, True, False, "1.16.3 to 1.18.3"),
        (("1.17.1", "1.17.1", None), {}, True, False, "1.16 to 1.17.1"),
        (("1.18.3", "1.18.3", None), {DEAD: SILENCE}, True, True, "1.18.3"),
    ],
)
def test_the_oldest_node_says_what_can_be_used(versions, silent, conditional, modes, shown):
    with start_server(Versions) as handler:
        handler.versions, handler.silent = dict(enumerate(versions, 1)), silent
        database = connect("qdrant", handler.section)
        assert database.describe().version == shown
        assert database.describe().atomic_swap is conditional
        assert database.connection.is_at_least(CONDITIONAL_UPDATE_RELEASE) is conditional
        assert database.connection.is_at_least(UPDATE_MODE_RELEASE) is modes
