"""Feedback over HTTP, through a real socket; the daemon that takes it as a real process."""

from __future__ import annotations

import json
import re
import signal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from nudge_sync.serve.prometheus import PrometheusMetrics
from tests.support.feedback_client import (
    CLICK,
    SEARCH,
    TIMEOUT_SECONDS,
    VECTOR,
    FeedbackClient,
    count_batches,
    count_stored,
    serve_feedback,
)
from tests.support.sample_collection import DIMENSION, open_sample_collection
from tests.support.workspace import make_workspace


@pytest.fixture
def sample_collection(tmp_path):
    with open_sample_collection("memory", tmp_path) as sample:
        yield sample


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


@pytest.mark.parametrize("path", ["searches", "events"])
@pytest.mark.parametrize(
    "done", [{"clicked": [4]}, {"action": "click", "point": 4}, {"relevant": [4]}]
)
def test_a_row_may_be_a_search_and_what_was_done_with_it(sample_collection, path, done):
    with serve_feedback(sample_collection) as client:
        status, answer = client.post(f"/v1/{path}", [SEARCH | done])
    assert (status, answer["accepted"], answer["rejected"]) == (200, 2, 0)
    assert count_stored(sample_collection) == (1, 1)
    [[event]] = sample_collection.target().events.scan()
    assert event.document["object_id"] == 4


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
        status, answer = client.post(f"/v1/{path}", [good, row])
        assert (status, answer["rejected"]) == (422, 1)
        [refused] = answer["refused"]
        assert (refused["row"], refused["reason"]) == (1, reason)
        assert count_stored(sample_collection) == (0, 0)
        status, answer = client.post(f"/v1/{path}?partial=true", [good, row])
        assert (status, answer["accepted"], answer["rejected"]) == (200, 1, 1)
    assert sum(count_stored(sample_collection)) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json(body, sample_collection):
    with serve_feedback(sample_collection) as client:
        assert client.call("/v1/events", body)[0] == 400


def test_only_bearers_of_the_token_are_let_in(sample_collection):
    with serve_feedback(sample_collection, "s3cret") as client:
        assert client.post("/v1/searches", SEARCH)[0] == 200
        for wrong in ("", "Bearer ", "Bearer wrong", "Basic s3cret", "s3cret", "Bearer s3cret\xe9"):
            status, answer, headers = client.call("/v1/events", b"[]", Authorization=wrong)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
            assert "s3cret" not in json.dumps(answer)


def test_a_page_in_a_browser_cannot_post_to_it(sample_collection):
    with serve_feedback(sample_collection) as client:
        body = json.dumps(SEARCH).encode()
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            assert client.call("/v1/searches", body, Content_Type=kind)[0] == 415
        assert (
            client.call("/v1/searches", body, Content_Type="application/json; charset=utf-8")[0]
            == 200
        )


def test_a_name_that_is_pointed_at_this_machine_is_not_answered_without_a_token(sample_collection):
    body = json.dumps(SEARCH).encode()
    metrics = PrometheusMetrics()
    with serve_feedback(sample_collection, metrics=metrics) as client:
        name = f"evil.example:{client.port}"
        for path in ("/v1/searches", "/v1/events", "/openapi.json", "/docs"):
            sent = None if path in {"/openapi.json", "/docs"} else body
            status, answer, _ = client.call(path, sent, Host=name, Origin=f"http://{name}")
            assert (status, "NUDGE_SYNC_TOKEN" in answer["detail"]) == (403, True)
        for host in (f"localhost:{client.port}", f"[::1]:{client.port}", "10.0.0.7"):
            assert client.call("/v1/searches", body, Host=host)[0] == 200
    assert count_stored(sample_collection) == (1, 0)
    assert count_batches(metrics) == {"403": 1, "200": 3}
    with serve_feedback(sample_collection, "s3cret") as client:
        assert client.call("/v1/searches", body, Host="nudge-sync:9465")[0] == 200


def test_words_that_know_no_case(sample_collection):
    body = json.dumps(SEARCH).encode()
    with serve_feedback(sample_collection, "s3cret") as client:
        for scheme in ("bearer", "BEARER"):
            assert client.call("/v1/searches", body, Authorization=f"{scheme} s3cret")[0] == 200
            assert client.call("/v1/searches", body, Authorization=f"{scheme} S3CRET")[0] == 401
        assert client.call("/v1/searches", body, Content_Type="Application/JSON")[0] == 200


def test_which_collection(sample_collection):
    with serve_feedback(sample_collection, vectors={"docs": "", "absent": ""}) as client:
        assert client.post("/v1/searches", SEARCH)[0] == 400
        assert client.post("/v1/searches?collection=other", SEARCH)[0] == 404
        assert client.post("/v1/searches?collection=docs", SEARCH)[0] == 200
        status, answer = client.post("/v1/searches?collection=absent", SEARCH)
    assert (status, "log" in answer["detail"]) == (500, True)


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
    samples = dict(re.findall(r"^nudge_sync_feedback_(\w+_total\{.*\}) (\S+)$", page, re.MULTILINE))
    docs = 'collection="docs",kind='
    unknown = 'collection="",kind="event",status='
    assert samples == {
        f'batches_total{{{docs}"search",status="200"}}': "1.0",
        f'batches_total{{{docs}"event",status="200"}}': "2.0",
        f'batches_total{{{docs}"event",status="422"}}': "1.0",
        f'batches_total{{{docs}"event",status="400"}}': "1.0",
        f'batches_total{{{unknown}"404"}}': "1.0",
        f'batches_total{{{unknown}"401"}}': "1.0",
        f'rows_total{{{docs}"search",result="accepted"}}': "1.0",
        f'rows_total{{{docs}"event",result="accepted"}}': "3.0",
        f'rows_total{{{docs}"event",result="unknown point"}}': "2.0",
        f'rows_total{{{docs}"event",result="unparsable time"}}': "2.0",
    }


def test_it_describes_itself(sample_collection):
    with serve_feedback(sample_collection, "s3cret") as client:
        status, answer, _ = client.call("/openapi.json", None)
        page = Request(f"http://127.0.0.1:{client.port}/docs")
        with pytest.raises(HTTPError) as refusal:
            urlopen(page)
        refusal.value.close()
        page.add_header("Authorization", "Bearer s3cret")
        with urlopen(page) as shown:
            text = shown.read().decode()
        client.token = ""
        assert client.call("/openapi.json", None)[0] == 401
    assert refusal.value.code == 401
    assert "POST /v1/events" in text
    assert (status, set(answer["paths"])) == (200, {"/v1/searches", "/v1/events"})
    body = answer["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"]
    assert "action" in body["schema"]["oneOf"][0]["required"]


def test_the_daemon_takes_feedback_without_a_schedule(tmp_path):
    workspace = make_workspace(tmp_path / "shop")
    workspace.write_config("[serve]\nfeedback_port = 0")
    child = workspace.start_process(
        "serve", "--port", "0", "--log-format", "json", NUDGE_SYNC_TOKEN="s3cret"
    )
    try:
        line = next(line for line in child.stderr if '"taking feedback"' in line)
        client = FeedbackClient(json.loads(line)["port"], "s3cret")
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
    _, log = child.communicate(timeout=TIMEOUT_SECONDS)
    assert (child.returncode, "NUDGE_SYNC_TOKEN" in log) == (2, True), log
