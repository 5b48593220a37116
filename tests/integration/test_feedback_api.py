"""Feedback over HTTP, through a real socket; the daemon that takes it as a real process."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
from contextlib import ExitStack, closing, contextmanager
from select import select
from threading import Barrier, Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from nudge_sync.feedback.ingest.batches import BatchImporter
from nudge_sync.serve.feedback_api import (
    DEFAULT_LIMITS,
    MAX_BATCH_ROWS,
    MAX_BODY_BYTES,
    Limits,
    create_app,
)
from nudge_sync.serve.feedback_server import serve_feedback_api
from nudge_sync.serve.prometheus import PrometheusMetrics
from tests.support.sample_collection import DIMENSION, open_sample_collection
from tests.support.workspace import make_workspace

TIMEOUT_SECONDS = 300
"""Seconds that nothing takes, also on a busy machine."""
VECTOR = [1.0] + [0.0] * (DIMENSION - 1)
SEARCH = {"query_id": "q1", "query_vector": VECTOR, "shown": [3, 4], "session": "s1"}
CLICK = {"query_id": "q1", "action": "click", "point": 4, "position": 2, "time": 1_777_626_015}


class FeedbackClient:
    """What an application sees of the intake."""

    def __init__(self, port: int, token: str = "") -> None:
        self.port = port
        self.token = token

    def call(self, path: str, body: bytes | None, **headers: str) -> tuple[int, dict, dict]:
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(f"http://127.0.0.1:{self.port}{path}", body, sent)
        try:
            with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                return answer.status, json.loads(answer.read()), dict(answer.headers)
        except HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read()), dict(refused.headers)

    def post(self, path: str, rows: object) -> tuple[int, dict]:
        return self.call(path, json.dumps(rows).encode())[:2]

    def connect_silently(self) -> socket.socket:
        """A connection on which nothing is said."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_SECONDS)

    def send_half_a_batch(self) -> socket.socket:
        """A batch whose body the intake waits for."""
        connection = self.connect_silently()
        connection.sendall(
            b"POST /v1/events HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
            b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        return connection


@contextmanager
def serve_feedback(
    sample_collection,
    token: str = "",
    vectors: dict[str, str] | None = None,
    metrics: PrometheusMetrics | None = None,
    limits: Limits = DEFAULT_LIMITS,
):
    importer = BatchImporter(sample_collection.reopen, vectors or {"docs": ""})
    app = create_app(importer, token, metrics, limits)
    with serve_feedback_api("127.0.0.1", 0, app, limits) as port:
        yield FeedbackClient(port, token)


def read_answer(connection: socket.socket) -> tuple[int, dict, dict]:
    """What comes back on a connection that was written to by hand."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, json.loads(answer.read()), dict(answer.headers)


def count_batches(metrics: PrometheusMetrics) -> dict[str, float]:
    """Batches of events by status."""
    pattern = r'^nudge_sync_feedback_batches_total\{.*status="(\d+)"\} (\S+)$'
    samples = re.findall(pattern, metrics.render().decode(), re.MULTILINE)
    return {status: float(count) for status, count in samples}


@pytest.fixture
def sample_collection(tmp_path):
    with open_sample_collection("memory", tmp_path) as made:
        yield made


def count_stored(sample_collection) -> tuple[int, int]:
    target = sample_collection.target()
    return target.queries.count(), target.events.count()


def test_searches_and_events_are_stored_once(sample_collection):
    with serve_feedback(sample_collection) as client:
        assert client.post("/v1/searches", SEARCH)[0] == 200
        expected = {"accepted": 2, "unchanged": 0, "without_search": 0, "rejected": 0}
        rows = [CLICK, CLICK | {"action": "relevant", "grade": 2}]
        assert client.post("/v1/events", rows) == (200, expected | {"refused": []})
        again = client.post("/v1/events?collection=docs", rows)
        assert again == (200, expected | {"unchanged": 2, "refused": []})
        assert client.post("/v1/events", []) == (200, expected | {"accepted": 0, "refused": []})
    assert count_stored(sample_collection) == (1, 2)
    [search] = sample_collection.target().queries.get(["q1"])
    assert search.vector.tolist() == VECTOR
    assert search.document["shown"] == [3, 4]


@pytest.mark.parametrize(
    ("path", "row", "reason"),
    [
        ("searches", SEARCH | {"query_vector": [1.0]}, "wrong dimension"),
        ("searches", SEARCH | {"query_vector": [float("nan"), *VECTOR[1:]]}, "not finite"),
        ("searches", SEARCH | {"query_vector": [0.0] * DIMENSION}, "zero vector"),
        ("searches", SEARCH | {"time": "noon"}, "unparsable time"),
        ("searches", SEARCH | {"text": "x" * 60_001}, "too large"),
        ("searches", {"query_id": "q2"}, "missing field"),
        ("searches", SEARCH | {"type": "event"}, "wrong type"),
        ("searches", SEARCH | {"type": []}, "wrong type"),
        ("searches", "q1", "wrong type"),
        ("events", CLICK | {"point": 10**9}, "unknown point"),
        ("events", CLICK | {"grade": float("inf")}, "out of range"),
        ("events", CLICK | {"type": "search"}, "wrong type"),
        ("events", None, "wrong type"),
    ],
)
def test_one_bad_row_is_named_and_nothing_is_stored(path, row, reason, sample_collection):
    good = {"searches": SEARCH | {"query_id": "q0"}, "events": CLICK}[path]
    with serve_feedback(sample_collection) as client:
        status, said = client.post(f"/v1/{path}", [good, row])
        assert (status, said["rejected"]) == (422, 1)
        [refused] = said["refused"]
        assert (refused["row"], refused["reason"]) == (1, reason)
        assert count_stored(sample_collection) == (0, 0)
        status, said = client.post(f"/v1/{path}?partial=true", [good, row])
        assert (status, said["accepted"], said["rejected"]) == (200, 1, 1)
    assert sum(count_stored(sample_collection)) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json(body, sample_collection):
    with serve_feedback(sample_collection) as client:
        assert client.call("/v1/events", body)[0] == 400


def test_only_bearers_of_the_token_are_let_in(sample_collection):
    with serve_feedback(sample_collection, "s3cret") as client:
        assert client.post("/v1/searches", SEARCH)[0] == 200
        for wrong in ("", "Bearer ", "Bearer wrong", "Basic s3cret", "s3cret", "Bearer s3cret\xe9"):
            status, said, headers = client.call("/v1/events", b"[]", Authorization=wrong)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
            assert "s3cret" not in json.dumps(said)


def test_a_page_in_a_browser_cannot_post_to_it(sample_collection):
    with serve_feedback(sample_collection) as client:
        body = json.dumps(SEARCH).encode()
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            assert client.call("/v1/searches", body, Content_Type=kind)[0] == 415
        assert (
            client.call("/v1/searches", body, Content_Type="application/json; charset=utf-8")[0]
            == 200
        )


def test_words_that_know_no_case(sample_collection):
    body = json.dumps(SEARCH).encode()
    with serve_feedback(sample_collection, "s3cret") as client:
        for scheme in ("bearer", "BEARER"):
            assert client.call("/v1/searches", body, Authorization=f"{scheme} s3cret")[0] == 200
            assert client.call("/v1/searches", body, Authorization=f"{scheme} S3CRET")[0] == 401
        assert client.call("/v1/searches", body, Content_Type="Application/JSON")[0] == 200


def test_silent_connections_shut_nobody_out(sample_collection):
    limits = Limits(max_connections=4)
    with serve_feedback(sample_collection, limits=limits) as client, ExitStack() as stack:
        others = [
            stack.enter_context(closing(client.connect_silently()))
            for _ in range(3 * limits.max_connections)
        ]
        assert client.post("/v1/searches", SEARCH)[0] == 200
        closed, _, _ = select(others, [], [], TIMEOUT_SECONDS)
        assert len(closed) == len(others) + 1 - limits.max_connections
    assert count_stored(sample_collection) == (1, 0)


def test_many_silent_connections_shut_nobody_out(sample_collection):
    with serve_feedback(sample_collection) as client, ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(closing(client.connect_silently()))
        assert client.post("/v1/searches", SEARCH)[0] == 200


def test_more_batches_at_once_than_are_taken(sample_collection):
    metrics = PrometheusMetrics()
    limits = Limits(max_batches=2)
    with (
        serve_feedback(sample_collection, metrics=metrics, limits=limits) as client,
        closing(client.send_half_a_batch()) as one,
        closing(client.send_half_a_batch()),
    ):
        status, said, headers = client.call("/v1/events", b"[]")
        assert (status, headers["retry-after"]) == (503, "5")
        assert "again" in said["detail"]
        one.sendall(b"[]")
        assert read_answer(one)[0] == 200
        assert client.post("/v1/events", [])[0] == 200
    assert count_batches(metrics) == {"503": 1, "200": 2, "499": 1}


def test_a_body_that_does_not_come(sample_collection):
    metrics = PrometheusMetrics()
    with (
        serve_feedback(
            sample_collection, metrics=metrics, limits=Limits(body_timeout=0.1)
        ) as client,
        closing(client.send_half_a_batch()) as slow,
    ):
        status, said, headers = read_answer(slow)
        assert (status, headers["connection"]) == (408, "close")
        assert "0.1 seconds" in said["detail"]
        assert slow.recv(1) == b""
    assert count_batches(metrics) == {"408": 1}


def test_a_client_that_leaves_is_counted_and_no_error(sample_collection, caplog):
    metrics = PrometheusMetrics()
    with serve_feedback(sample_collection, metrics=metrics) as client:
        client.send_half_a_batch().close()
    assert count_batches(metrics) == {"499": 1}
    assert not [one for one in caplog.records if one.exc_info]


def test_the_end_while_a_client_is_slow(sample_collection, caplog):
    metrics = PrometheusMetrics()
    with ExitStack() as stack:
        with serve_feedback(
            sample_collection, metrics=metrics, limits=Limits(shutdown_timeout=0)
        ) as client:
            slow = stack.enter_context(closing(client.send_half_a_batch()))
        status, said, headers = read_answer(slow)
    assert (status, headers["retry-after"]) == (503, "5")
    assert "ending" in said["detail"]
    assert count_batches(metrics) == {"503": 1}
    assert not [one for one in caplog.records if one.exc_info]


def test_too_many_rows_or_bytes(sample_collection):
    with serve_feedback(sample_collection) as client:
        assert client.post("/v1/events", [None] * (MAX_BATCH_ROWS + 1))[0] == 413
        announced = http.client.HTTPConnection("127.0.0.1", client.port, timeout=TIMEOUT_SECONDS)
        announced.putrequest("POST", "/v1/events")
        announced.putheader("Content-Type", "application/json")
        announced.putheader("Content-Length", str(MAX_BODY_BYTES + 1))
        announced.endheaders()
        assert announced.getresponse().status == 413
        announced.close()
    assert count_stored(sample_collection) == (0, 0)


def test_too_many_bytes_without_saying_so_first(sample_collection):
    with serve_feedback(sample_collection) as client:
        chunked = http.client.HTTPConnection("127.0.0.1", client.port, timeout=TIMEOUT_SECONDS)
        parts = (b" " * 2**20 for _ in range(MAX_BODY_BYTES // 2**20 + 1))
        headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        chunked.request("POST", "/v1/events", parts, headers, encode_chunked=True)
        assert chunked.getresponse().status == 413
        chunked.close()


def test_which_collection(sample_collection):
    with serve_feedback(sample_collection, vectors={"docs": "", "absent": ""}) as client:
        assert client.post("/v1/searches", SEARCH)[0] == 400
        assert client.post("/v1/searches?collection=other", SEARCH)[0] == 404
        assert client.post("/v1/searches?collection=docs", SEARCH)[0] == 200
        status, said = client.post("/v1/searches?collection=absent", SEARCH)
    assert (status, "log" in said["detail"]) == (500, True)


def test_a_database_that_lets_nobody_else_in_is_tried_again_later(tmp_path):
    with open_sample_collection("qdrant-edge", tmp_path) as world:
        world.read_vectors()
        with serve_feedback(world) as client:
            status, said, headers = client.call("/v1/searches", json.dumps(SEARCH).encode())
            assert (status, headers["retry-after"]) == (503, "5")
            assert str(tmp_path) not in said["detail"]
            world.database.close()
            assert client.post("/v1/searches", SEARCH)[0] == 200
            together, answers = Barrier(8), []

            def send(number: int) -> None:
                together.wait()
                row = CLICK | {"time": number}
                # 503 where the seven others took longer than a client is kept waiting.
                while (status := client.post("/v1/events", row)[0]) == 503:
                    pass
                answers.append(status)

            threads = [Thread(target=send, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert answers == [200] * 8


def test_what_came_in_is_counted(sample_collection):
    metrics = PrometheusMetrics()
    bad, worse = CLICK | {"point": 10**9}, CLICK | {"time": "noon"}
    with serve_feedback(sample_collection, "s3cret", metrics=metrics) as client:
        client.post("/v1/searches", SEARCH)
        client.post("/v1/events", [CLICK, CLICK | {"time": 1}])
        client.post("/v1/events", [CLICK, bad])
        client.post("/v1/events?partial=true", [CLICK, bad, worse, worse])
        client.call("/v1/events", b"{")
        client.post("/v1/events?collection=elsewhere", CLICK)
        client.call("/v1/events", b"[]", Authorization="Bearer wrong")
    page = metrics.render().decode()
    found = dict(re.findall(r"^nudge_sync_feedback_(\w+_total\{.*\}) (\S+)$", page, re.MULTILINE))
    docs = 'collection="docs",kind='
    nobody = 'collection="",kind="event",status='
    assert found == {
        f'batches_total{{{docs}"search",status="200"}}': "1.0",
        f'batches_total{{{docs}"event",status="200"}}': "2.0",
        f'batches_total{{{docs}"event",status="422"}}': "1.0",
        f'batches_total{{{docs}"event",status="400"}}': "1.0",
        f'batches_total{{{nobody}"404"}}': "1.0",
        f'batches_total{{{nobody}"401"}}': "1.0",
        f'rows_total{{{docs}"search",result="accepted"}}': "1.0",
        f'rows_total{{{docs}"event",result="accepted"}}': "3.0",
        f'rows_total{{{docs}"event",result="unknown point"}}': "2.0",
        f'rows_total{{{docs}"event",result="unparsable time"}}': "2.0",
    }


def test_it_describes_itself(sample_collection):
    with serve_feedback(sample_collection, "s3cret") as client:
        status, said, _ = client.call("/openapi.json", None)
        assert client.call("/docs", None)[0] == 404
    assert (status, set(said["paths"])) == (200, {"/v1/searches", "/v1/events"})
    body = said["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"]
    assert "action" in body["schema"]["oneOf"][0]["required"]


def test_the_daemon_takes_feedback_without_a_schedule(tmp_path):
    workspace = make_workspace(tmp_path / "shop")
    workspace.write_config("[serve]\nfeedback_port = 0")
    child = workspace.start_process(
        "serve", "--port", "0", "--log-format", "json", NUDGE_SYNC_TOKEN="s3cret"
    )
    try:
        said = next(line for line in child.stderr if '"taking feedback"' in line)
        client = FeedbackClient(json.loads(said)["port"], "s3cret")
        rows = [json.loads(line) for line in workspace.feedback_path.read_text().splitlines()]
        assert client.post("/v1/searches", [row for row in rows if "query_vector" in row])[0] == 200
        assert client.post("/v1/events", [row for row in rows if "action" in row])[0] == 200
        assert FeedbackClient(client.port).post("/v1/events", CLICK)[0] == 401
        child.send_signal(signal.SIGTERM)
        _, log = child.communicate(timeout=TIMEOUT_SECONDS)
        assert child.returncode == 0, log
    finally:
        child.kill()
        child.communicate()
    assert "s3cret" not in log
    assert workspace.run("apply", "--yes")["gate"]["passed"]


def test_what_the_daemon_refuses(tmp_path):
    workspace = make_workspace(tmp_path / "shop")
    child = workspace.start_process(
        "serve", "--port", "0", "--feedback-port", "0", "--host", "0.0.0.0"
    )
    _, said = child.communicate(timeout=TIMEOUT_SECONDS)
    assert (child.returncode, "NUDGE_SYNC_TOKEN" in said) == (2, True), said
