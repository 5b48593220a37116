"""An opinion that is dated ahead, by a clock that is, hides none that comes after it."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from nudge_sync.source import open_feedback_source
from tests.support.sources.json_server import JsonServer, Request, serve

HOUR, DAY = 3600.0, 86_400.0
POINTS = {"first": "p1", "second": "p2", "third": "p3"}


def format_moment(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


class MlflowServer(JsonServer):
    """Traces of three days ago, a second apart, in the shapes of MLflow's REST interface."""

    kind = "mlflow"

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, float] = {}
        start = time.time() - 3 * DAY
        self.began = {name: start + second for second, name in enumerate(POINTS)}
        self.routes = {
            ("GET", "/api/2.0/mlflow/experiments/get-by-name"): lambda _: {
                "experiment": {"experiment_id": "1"}
            },
            ("POST", "/api/3.0/mlflow/traces/search"): self.search_traces,
            ("GET", "/api/3.0/mlflow/traces/batchGet"): self.get_traces,
        }

    def search_traces(self, request: Request) -> dict[str, Any]:
        bounds = re.search(rb">= (\d+)(?: AND timestamp_ms <= (\d+))?", request.body)
        start, end = int(bounds[1]), int(bounds[2] or 2**53)
        names = [name for name in POINTS if start <= int(self.began[name] * 1000) <= end]
        return {"traces": list(map(self.build_info, names))}

    def get_traces(self, request: Request) -> dict[str, Any]:
        return {"traces": list(map(self.build_trace, request.query["trace_ids"].split(",")))}

    def build_info(self, name: str) -> dict[str, Any]:
        assessments = [
            {
                "feedback": {"value": {POINTS[name]: 1.0}},
                "source": {"source_type": "HUMAN"},
                "last_update_time": format_moment(given),
            }
            for search, given in self.given.items()
            if search == name
        ]
        moment = format_moment(self.began[name])
        return {"trace_id": name, "request_time": moment, "assessments": assessments}

    def build_trace(self, name: str) -> dict[str, Any]:
        nanoseconds = str(int(self.began[name] * 1e9))
        span = {
            "span_id": b64encode(name.encode()).decode(),
            "start_time_unix_nano": nanoseconds,
            "end_time_unix_nano": nanoseconds,
            "attributes": [
                {"key": "mlflow.spanType", "value": {"string_value": "RETRIEVER"}},
                {"key": "mlflow.spanInputs", "value": {"string_value": name}},
            ],
        }
        return {"trace_info": self.build_info(name), "spans": [span]}


class PhoenixServer(JsonServer):
    """Spans of three days ago, in the shapes of Phoenix's interfaces."""

    kind = "phoenix"

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, float] = {}
        moment = format_moment(time.time() - 3 * DAY)
        self.spans = [
            {
                "id": name,
                "context": {"trace_id": name, "span_id": name},
                "parent_id": None,
                "span_kind": "RETRIEVER",
                "start_time": moment,
                "end_time": moment,
                "attributes": {
                    "input.value": name,
                    "retrieval.documents": [{"document.id": point}],
                },
            }
            for name, point in POINTS.items()
        ]
        path = "/v1/projects/default"
        self.routes = {
            ("GET", path): lambda _: {},
            ("GET", f"{path}/spans"): self.list_spans,
            ("GET", f"{path}/span_annotations"): lambda _: {"data": [], "next_cursor": None},
            ("POST", "/graphql"): self.list_evaluations,
        }

    def list_spans(self, request: Request) -> dict[str, Any]:
        ids = [span["id"] for span in self.spans]
        first = ids.index(request.query["cursor"]) if "cursor" in request.query else 0
        return {"data": self.spans[first:], "next_cursor": None}

    def list_evaluations(self, request: Request) -> dict[str, Any]:
        nodes = re.findall(r'(n\d+): node\(id: \\"(\w+)\\"\)', request.body.decode())
        return {"data": {node: {"documentEvaluations": self.evaluate(id_)} for node, id_ in nodes}}

    def evaluate(self, name: str) -> list[dict[str, Any]]:
        evaluation = {"documentPosition": 0, "score": 1.0, "label": "", "annotatorKind": "HUMAN"}
        return [
            {**evaluation, "updatedAt": format_moment(given)}
            for search, given in self.given.items()
            if search == name
        ]


@pytest.fixture(params=[MlflowServer, PhoenixServer], ids=lambda kind: kind.kind)
def server(request) -> Iterator[JsonServer]:
    server = request.param()
    with serve(server):
        yield server


def pull(server: JsonServer, cursor: str) -> tuple[set[str], str]:
    """The points that a fetch brings opinions on, and where the next one goes on."""
    with closing(open_feedback_source(server.kind, {"url": server.url})) as source:
        pages = list(source.read_pages(cursor))
    events = [row for page in pages for row in page.rows if row["type"] == "event"]
    return {row["point"] for row in events}, pages[-1].cursor


def test_an_opinion_dated_ahead_hides_none_that_comes_after_it(server):
    points, cursor = pull(server, "")
    assert points == set()
    server.given = {"first": time.time() + 2 * HOUR}
    points, cursor = pull(server, cursor)
    assert points == {"p1"}
    server.given["second"] = time.time()
    points, cursor = pull(server, cursor)
    assert "p2" in points
