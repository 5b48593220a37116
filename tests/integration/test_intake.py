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
from commands import opened_shop
from worlds import DIMENSION, opened

from nudge_sync.feedback.ingest.batches import BatchImporter
from nudge_sync.serve.feedback_api import (
    DEFAULT_LIMITS,
    MAX_BATCH_ROWS,
    MAX_BODY_BYTES,
    Limits,
    create_app,
    serve_feedback_api,
)
from nudge_sync.serve.prometheus import PrometheusMetrics

PATIENCE = 300
"""Seconds that nothing takes, also on a busy machine."""
VECTOR = [1.0] + [0.0] * (DIMENSION - 1)
SEARCH = {"query_id": "q1", "query_vector": VECTOR, "shown": [3, 4], "session": "s1"}
CLICK = {"query_id": "q1", "action": "click", "point": 4, "position": 2, "time": 1_777_626_015}


class Door:
    """What an application sees of the intake."""

    def __init__(self, port: int, token: str = "") -> None:
        self.port = port
        self.token = token

    def call(self, path: str, body: bytes | None, **headers: str) -> tuple[int, dict, dict]:
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(f"http://127.0.0.1:{self.port}{path}", body, sent)
        try:
            with urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.loads(answer.read()), dict(answer.headers)
        except HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read()), dict(refused.headers)

    def post(self, path: str, rows: object) -> tuple[int, dict]:
        return self.call(path, json.dumps(rows).encode())[:2]

    def silent(self) -> socket.socket:
        """A connection on which nothing is said."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def halfway(self) -> socket.socket:
        """A batch whose body the intake waits for."""
        made = self.silent()
        made.sendall(
            b"POST /v1/events HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
            b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert made.recv(1000).startswith(b"HTTP/1.1 100 ")
        return made


@contextmanager
def door(
    world,
    token: str = "",
    vectors: dict[str, str] | None = None,
    gauges: PrometheusMetrics | None = None,
    limits: Limits = DEFAULT_LIMITS,
):
    batches = BatchImporter(world.reopen, vectors or {"docs": ""})
    app = create_app(batches, token, gauges, limits)
    with serve_feedback_api("127.0.0.1", 0, app, limits) as port:
        yield Door(port, token)


def answer_on(connection: socket.socket) -> tuple[int, dict, dict]:
    """What comes back on a connection that was written to by hand."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, json.loads(answer.read()), dict(answer.headers)


def batches_in(gauges: PrometheusMetrics) -> dict[str, float]:
    """Batches of events by status."""
    pattern = r'^nudge_sync_feedback_batches_total\{.*status="(\d+)"\} (\S+)$'
    found = re.findall(pattern, gauges.render().decode(), re.MULTILINE)
    return {status: float(count) for status, count in found}


@pytest.fixture
def world(tmp_path):
    with opened("memory", tmp_path) as made:
        yield made


def stored(world) -> tuple[int, int]:
    target = world.target()
    return target.queries.count(), target.events.count()


def test_searches_and_events_are_stored_once(world):
    with door(world) as at:
        assert at.post("/v1/searches", SEARCH)[0] == 200
        expected = {"accepted": 2, "unchanged": 0, "without_search": 0, "rejected": 0}
        rows = [CLICK, CLICK | {"action": "relevant", "grade": 2}]
        assert at.post("/v1/events", rows) == (200, expected | {"refused": []})
        again = at.post("/v1/events?collection=docs", rows)
        assert again == (200, expected | {"unchanged": 2, "refused": []})
        assert at.post("/v1/events", []) == (200, expected | {"accepted": 0, "refused": []})
    assert stored(world) == (1, 2)
    [search] = world.target().queries.get(["q1"])
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
def test_one_bad_row_is_named_and_nothing_is_stored(path, row, reason, world):
    good = {"searches": SEARCH | {"query_id": "q0"}, "events": CLICK}[path]
    with door(world) as at:
        status, said = at.post(f"/v1/{path}", [good, row])
        assert (status, said["rejected"]) == (422, 1)
        [refused] = said["refused"]
        assert (refused["row"], refused["reason"]) == (1, reason)
        assert stored(world) == (0, 0)
        status, said = at.post(f"/v1/{path}?partial=true", [good, row])
        assert (status, said["accepted"], said["rejected"]) == (200, 1, 1)
    assert sum(stored(world)) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json(body, world):
    with door(world) as at:
        assert at.call("/v1/events", body)[0] == 400


def test_only_bearers_of_the_token_are_let_in(world):
    with door(world, "s3cret") as at:
        assert at.post("/v1/searches", SEARCH)[0] == 200
        for wrong in ("", "Bearer ", "Bearer wrong", "Basic s3cret", "s3cret", "Bearer s3cret\xe9"):
            status, said, headers = at.call("/v1/events", b"[]", Authorization=wrong)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
            assert "s3cret" not in json.dumps(said)


def test_a_page_in_a_browser_cannot_post_to_it(world):
    with door(world) as at:
        body = json.dumps(SEARCH).encode()
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            assert at.call("/v1/searches", body, Content_Type=kind)[0] == 415
        assert (
            at.call("/v1/searches", body, Content_Type="application/json; charset=utf-8")[0] == 200
        )


def test_words_that_know_no_case(world):
    body = json.dumps(SEARCH).encode()
    with door(world, "s3cret") as at:
        for scheme in ("bearer", "BEARER"):
            assert at.call("/v1/searches", body, Authorization=f"{scheme} s3cret")[0] == 200
            assert at.call("/v1/searches", body, Authorization=f"{scheme} S3CRET")[0] == 401
        assert at.call("/v1/searches", body, Content_Type="Application/JSON")[0] == 200


def test_silent_connections_shut_nobody_out(world):
    limits = Limits(max_connections=4)
    with door(world, limits=limits) as at, ExitStack() as stack:
        others = [
            stack.enter_context(closing(at.silent())) for _ in range(3 * limits.max_connections)
        ]
        assert at.post("/v1/searches", SEARCH)[0] == 200
        closed, _, _ = select(others, [], [], PATIENCE)
        assert len(closed) == len(others) + 1 - limits.max_connections
    assert stored(world) == (1, 0)


def test_many_silent_connections_shut_nobody_out(world):
    with door(world) as at, ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(closing(at.silent()))
        assert at.post("/v1/searches", SEARCH)[0] == 200


def test_more_batches_at_once_than_are_taken(world):
    gauges = PrometheusMetrics()
    limits = Limits(max_batches=2)
    with (
        door(world, gauges=gauges, limits=limits) as at,
        closing(at.halfway()) as one,
        closing(at.halfway()),
    ):
        status, said, headers = at.call("/v1/events", b"[]")
        assert (status, headers["retry-after"]) == (503, "5")
        assert "again" in said["detail"]
        one.sendall(b"[]")
        assert answer_on(one)[0] == 200
        assert at.post("/v1/events", [])[0] == 200
    assert batches_in(gauges) == {"503": 1, "200": 2, "499": 1}


def test_a_body_that_does_not_come(world):
    gauges = PrometheusMetrics()
    with (
        door(world, gauges=gauges, limits=Limits(body_timeout=0.1)) as at,
        closing(at.halfway()) as slow,
    ):
        status, said, headers = answer_on(slow)
        assert (status, headers["connection"]) == (408, "close")
        assert "0.1 seconds" in said["detail"]
        assert slow.recv(1) == b""
    assert batches_in(gauges) == {"408": 1}


def test_a_client_that_leaves_is_counted_and_no_error(world, caplog):
    gauges = PrometheusMetrics()
    with door(world, gauges=gauges) as at:
        at.halfway().close()
    assert batches_in(gauges) == {"499": 1}
    assert not [one for one in caplog.records if one.exc_info]


def test_the_end_while_a_client_is_slow(world, caplog):
    gauges = PrometheusMetrics()
    with ExitStack() as stack:
        with door(world, gauges=gauges, limits=Limits(shutdown_timeout=0)) as at:
            slow = stack.enter_context(closing(at.halfway()))
        status, said, headers = answer_on(slow)
    assert (status, headers["retry-after"]) == (503, "5")
    assert "ending" in said["detail"]
    assert batches_in(gauges) == {"503": 1}
    assert not [one for one in caplog.records if one.exc_info]


def test_too_many_rows_or_bytes(world):
    with door(world) as at:
        assert at.post("/v1/events", [None] * (MAX_BATCH_ROWS + 1))[0] == 413
        announced = http.client.HTTPConnection("127.0.0.1", at.port, timeout=PATIENCE)
        announced.putrequest("POST", "/v1/events")
        announced.putheader("Content-Type", "application/json")
        announced.putheader("Content-Length", str(MAX_BODY_BYTES + 1))
        announced.endheaders()
        assert announced.getresponse().status == 413
        announced.close()
    assert stored(world) == (0, 0)


def test_too_many_bytes_without_saying_so_first(world):
    with door(world) as at:
        chunked = http.client.HTTPConnection("127.0.0.1", at.port, timeout=PATIENCE)
        parts = (b" " * 2**20 for _ in range(MAX_BODY_BYTES // 2**20 + 1))
        headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        chunked.request("POST", "/v1/events", parts, headers, encode_chunked=True)
        assert chunked.getresponse().status == 413
        chunked.close()


def test_which_collection(world):
    with door(world, vectors={"docs": "", "absent": ""}) as at:
        assert at.post("/v1/searches", SEARCH)[0] == 400
        assert at.post("/v1/searches?collection=other", SEARCH)[0] == 404
        assert at.post("/v1/searches?collection=docs", SEARCH)[0] == 200
        status, said = at.post("/v1/searches?collection=absent", SEARCH)
    assert (status, "log" in said["detail"]) == (500, True)


def test_a_database_that_lets_nobody_else_in_is_tried_again_later(tmp_path):
    with opened("qdrant-edge", tmp_path) as world:
        world.live()
        with door(world) as at:
            status, said, headers = at.call("/v1/searches", json.dumps(SEARCH).encode())
            assert (status, headers["retry-after"]) == (503, "5")
            assert str(tmp_path) not in said["detail"]
            world.database.close()
            assert at.post("/v1/searches", SEARCH)[0] == 200
            together, answers = Barrier(8), []

            def send(number: int) -> None:
                together.wait()
                row = CLICK | {"time": number}
                # 503 where the seven others took longer than a client is kept waiting.
                while (status := at.post("/v1/events", row)[0]) == 503:
                    pass
                answers.append(status)

            threads = [Thread(target=send, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert answers == [200] * 8


def test_what_came_in_is_counted(world):
    gauges = PrometheusMetrics()
    bad, worse = CLICK | {"point": 10**9}, CLICK | {"time": "noon"}
    with door(world, "s3cret", gauges=gauges) as at:
        at.post("/v1/searches", SEARCH)
        at.post("/v1/events", [CLICK, CLICK | {"time": 1}])
        at.post("/v1/events", [CLICK, bad])
        at.post("/v1/events?partial=true", [CLICK, bad, worse, worse])
        at.call("/v1/events", b"{")
        at.post("/v1/events?collection=elsewhere", CLICK)
        at.call("/v1/events", b"[]", Authorization="Bearer wrong")
    page = gauges.render().decode()
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


def test_it_describes_itself(world):
    with door(world, "s3cret") as at:
        status, said, _ = at.call("/openapi.json", None)
        assert at.call("/docs", None)[0] == 404
    assert (status, set(said["paths"])) == (200, {"/v1/searches", "/v1/events"})
    body = said["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"]
    assert "action" in body["schema"]["oneOf"][0]["required"]


def test_the_daemon_takes_feedback_without_a_schedule(tmp_path):
    shop = opened_shop(tmp_path / "shop")
    shop.configure("[serve]\nfeedback_port = 0")
    child = shop.child("serve", "--port", "0", "--log-format", "json", NUDGE_SYNC_TOKEN="s3cret")
    try:
        said = next(line for line in child.stderr if '"taking feedback"' in line)
        at = Door(json.loads(said)["port"], "s3cret")
        rows = [json.loads(line) for line in shop.feedback.read_text().splitlines()]
        assert at.post("/v1/searches", [row for row in rows if "query_vector" in row])[0] == 200
        assert at.post("/v1/events", [row for row in rows if "action" in row])[0] == 200
        assert Door(at.port).post("/v1/events", CLICK)[0] == 401
        child.send_signal(signal.SIGTERM)
        _, log = child.communicate(timeout=PATIENCE)
        assert child.returncode == 0, log
    finally:
        child.kill()
        child.communicate()
    assert "s3cret" not in log
    assert shop.call("apply", "--yes")["gate"]["passed"]


def test_what_the_daemon_refuses(tmp_path):
    shop = opened_shop(tmp_path / "shop")
    child = shop.child("serve", "--port", "0", "--feedback-port", "0", "--host", "0.0.0.0")
    _, said = child.communicate(timeout=PATIENCE)
    assert (child.returncode, "NUDGE_SYNC_TOKEN" in said) == (2, True), said
