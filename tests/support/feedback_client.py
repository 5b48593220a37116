"""The feedback API on a real socket, and a client of it."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from nudge_sync.feedback.ingest.batches import BatchImporter
from nudge_sync.serve.feedback_api import DEFAULT_LIMITS, Limits, create_app
from nudge_sync.serve.feedback_server import serve_feedback_api
from nudge_sync.serve.prometheus import PrometheusMetrics
from tests.support.sample_collection import DIMENSION
from tests.support.timeouts import TIMEOUT_SECONDS

VECTOR = [1.0] + [0.0] * (DIMENSION - 1)
SEARCH = {"query_id": "q1", "query_vector": VECTOR, "shown": [3, 4], "session": "s1"}
CLICK = {"query_id": "q1", "action": "click", "point": 4, "position": 2, "time": 1_777_626_015}


class FeedbackClient:
    """An application that posts feedback to the API."""

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
        """Open a connection, and send nothing."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_SECONDS)

    def send_half_a_batch(self) -> socket.socket:
        """Send a batch without its body, which the API then waits for."""
        connection = self.connect_silently()
        connection.sendall(
            b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
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
) -> Iterator[FeedbackClient]:
    """Serve the feedback API for a collection while the block runs."""
    importer = BatchImporter(sample_collection.reopen, vectors or {"docs": ""})
    app = create_app(importer, token, metrics, limits)
    with serve_feedback_api("127.0.0.1", 0, app, limits) as port:
        yield FeedbackClient(port, token)


def read_answer(connection: socket.socket) -> tuple[int, dict, dict]:
    """Read the response on a connection that was written to by hand."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, json.loads(answer.read()), dict(answer.headers)


def count_batches(metrics: PrometheusMetrics) -> dict[str, float]:
    """Return the number of batches of events by status."""
    pattern = r'^nudge_sync_feedback_batches_total\{.*status="(\d+)"\} (\S+)$'
    samples = re.findall(pattern, metrics.render().decode(), re.MULTILINE)
    return {status: float(count) for status, count in samples}


def count_stored(sample_collection) -> tuple[int, int]:
    target = sample_collection.target()
    return target.queries.count(), target.events.count()
