"""The limits of the feedback API: connections, batches at once, sizes and time."""

from __future__ import annotations

import http.client
import json
from contextlib import ExitStack, closing
from select import select
from threading import Barrier, Thread

import pytest

from nudge_sync.serve.feedback_api import MAX_BATCH_ROWS, MAX_BODY_BYTES, Limits
from nudge_sync.serve.prometheus import PrometheusMetrics
from tests.support.collection_fixtures import find_server
from tests.support.feedback_client import (
    CLICK,
    SEARCH,
    TIMEOUT_SECONDS,
    count_batches,
    count_stored,
    read_answer,
    serve_feedback,
)
from tests.support.sample_collection import open_sample_collection


@pytest.fixture
def sample_collection(tmp_path):
    with open_sample_collection("memory", tmp_path) as sample:
        yield sample


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
        closing(client.send_half_a_batch()) as waiting,
        closing(client.send_half_a_batch()),
    ):
        status, answer, headers = client.call("/v1/events", b"[]")
        assert (status, headers["retry-after"]) == (503, "5")
        assert "again" in answer["detail"]
        waiting.sendall(b"[]")
        assert read_answer(waiting)[0] == 200
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
        status, answer, headers = read_answer(slow)
        assert (status, headers["connection"]) == (408, "close")
        assert "0.1 seconds" in answer["detail"]
        assert slow.recv(1) == b""
    assert count_batches(metrics) == {"408": 1}


def test_a_client_that_leaves_is_counted_and_no_error(sample_collection, caplog):
    metrics = PrometheusMetrics()
    with serve_feedback(sample_collection, metrics=metrics) as client:
        client.send_half_a_batch().close()
    assert count_batches(metrics) == {"499": 1}
    assert not [record for record in caplog.records if record.exc_info]


def test_the_end_while_a_client_is_slow(sample_collection, caplog):
    metrics = PrometheusMetrics()
    with ExitStack() as stack:
        with serve_feedback(
            sample_collection, metrics=metrics, limits=Limits(shutdown_timeout=0)
        ) as client:
            slow = stack.enter_context(closing(client.send_half_a_batch()))
        status, answer, headers = read_answer(slow)
    assert (status, headers["retry-after"]) == (503, "5")
    assert "ending" in answer["detail"]
    assert count_batches(metrics) == {"503": 1}
    assert not [record for record in caplog.records if record.exc_info]


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


@pytest.mark.parametrize(
    "engine", ["qdrant", "milvus-lite", pytest.param("milvus", marks=pytest.mark.milvus_server)]
)
def test_feedback_over_http_reaches_servers(engine, request, tmp_path):
    server = find_server(request, engine)
    with (
        open_sample_collection(engine, tmp_path, server=server) as sample,
        serve_feedback(sample) as client,
    ):
        assert client.post("/v1/searches", [SEARCH])[0] == 200
        assert client.post("/v1/events", [CLICK])[0] == 200
        assert client.post("/v1/events", [CLICK | {"point": 100_000}])[0] == 422
        assert count_stored(sample) == (1, 1)


def test_a_database_that_lets_nobody_else_in_is_tried_again_later(tmp_path):
    with open_sample_collection("qdrant-edge", tmp_path) as sample:
        sample.read_vectors()
        with serve_feedback(sample) as client:
            status, answer, headers = client.call("/v1/searches", json.dumps(SEARCH).encode())
            assert (status, headers["retry-after"]) == (503, "5")
            assert str(tmp_path) not in answer["detail"]
            sample.database.close()
            assert client.post("/v1/searches", SEARCH)[0] == 200
            together, statuses = Barrier(8), []

            def send(number: int) -> None:
                together.wait()
                row = CLICK | {"time": number}
                # 503 where the seven others took longer than a client is kept waiting.
                while (status := client.post("/v1/events", row)[0]) == 503:
                    pass
                statuses.append(status)

            threads = [Thread(target=send, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert statuses == [200] * 8
