"""The daemon sends its spans to a collector, named by OpenTelemetry's own variables."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.operations.running_daemon import (
    read_metric,
    start_daemon,
    stop_daemon,
    wait_until,
)
from tests.support.workspace import make_workspace


@contextmanager
def start_collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A collector's address for spans over HTTP, and what was sent to it."""
    requests: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
        server.shutdown()
        thread.join()


def test_spans_reach_the_collector_before_the_daemon_ends(tmp_path):
    workspace = make_workspace(tmp_path / "shop")
    workspace.write_config('[schedule]\nevery = "1d"')
    refused = 'nudge_sync_cycles_total{collection="docs",outcome="refused"}'
    with start_collector() as (address, requests):
        variables = {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": address,
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        }
        with start_daemon(workspace, "--now", **variables) as (child, url):
            wait_until(lambda: read_metric(url, refused) == 1)
            log = stop_daemon(child)
    assert "Traceback" not in log
    [sent] = [part for request in requests for part in request.resource_spans]
    resource = {pair.key: pair.value.string_value for pair in sent.resource.attributes}
    assert resource["service.name"] == "nudge-sync"
    assert resource["deployment.environment.name"] == "test"
    spans = {span.name: span for scope in sent.scope_spans for span in scope.spans}
    assert spans.keys() >= {"nudge_sync.cycle", "nudge_sync.read"}
    assert spans["nudge_sync.read"].parent_span_id == spans["nudge_sync.cycle"].span_id
