"""Traces of an instrumented application, sent to POST /v1/traces by OpenTelemetry's exporter."""

from __future__ import annotations

import gzip
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

from nudge_sync.feedback.ingest.batches import BatchImporter
from nudge_sync.serve.feedback_api import create_app
from nudge_sync.serve.feedback_server import serve_feedback_api
from nudge_sync.serve.prometheus import PrometheusMetrics
from nudge_sync.serve.traces import receiver as receiver_module
from nudge_sync.serve.traces.api import add_trace_route, release_waiting_searches
from nudge_sync.serve.traces.receiver import open_receivers
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.testing.source_conformance import LoggedSearch
from tests.support.sample_collection import DIMENSION, open_sample_collection
from tests.support.sources.otlp import build_request, convert_to_json, select_spans
from tests.support.timeouts import TIMEOUT_SECONDS
from tests.support.workspace import make_workspace

TOKEN = "a token of the receiver"
PROTOBUF, JSON = "application/x-protobuf", "application/json"


@pytest.fixture
def sample(tmp_path):
    with open_sample_collection("memory", tmp_path) as opened:
        yield opened


@dataclass
class Receiver:
    """The address of a receiver, and what stands behind it."""

    sample: Any
    port: int
    metrics: PrometheusMetrics

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def post(self, body: bytes, media_type: str = PROTOBUF, **headers: str) -> tuple[int, bytes]:
        sent = {"Content-Type": media_type, "Authorization": f"Bearer {TOKEN}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with urlopen(Request(self.url, body, sent), timeout=TIMEOUT_SECONDS) as answer:
                return answer.status, answer.read()
        except HTTPError as refused:
            with refused:
                return refused.code, refused.read()

    def send(self, request: ExportTraceServiceRequest) -> ExportTraceServiceResponse:
        status, body = self.post(request.SerializeToString())
        assert status == 200, body
        return ExportTraceServiceResponse.FromString(body)

    def read(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        target = self.sample.target()
        searches = [record for batch in target.queries.scan() for record in batch]
        events = [record.document for batch in target.events.scan() for record in batch]
        return {search.document["text"]: search for search in searches}, events


@contextmanager
def serve_traces(sample, settings: dict[str, Any], **feedback: Any) -> Iterator[Receiver]:
    importer = BatchImporter(sample.reopen, {"docs": ""})
    metrics = PrometheusMetrics()
    app = create_app(importer, TOKEN, metrics)
    table = {"traces": {"cited": "metadata.cited", **settings}, **feedback}
    receivers = open_receivers(importer, {"docs": FeedbackSettings.model_validate(table)})
    add_trace_route(app, receivers, TOKEN, metrics)
    with (
        release_waiting_searches(receivers, metrics),
        serve_feedback_api("127.0.0.1", 0, app) as port,
    ):
        yield Receiver(sample, port, metrics)


def make_search(text: str, first: int = 3) -> LoggedSearch:
    vector = tuple(float(index == first) for index in range(DIMENSION))
    shown = (str(first), str(first + 1))
    return LoggedSearch(text, vector, shown, time.time() - 60, "s1", "c1")


def test_the_spans_of_a_request_become_searches_and_citations(sample):
    with serve_traces(sample, {}) as receiver:
        request = build_request([make_search("wings"), make_search("delta", 7)])
        assert not receiver.send(request).HasField("partial_success")
        receiver.send(request)
        searches, events = receiver.read()
    assert {text: search.document["shown"] for text, search in searches.items()} == {
        "wings": [3, 4],
        "delta": [7, 8],
    }
    assert searches["wings"].vector.argmax() == 3
    assert sorted((event["action_name"], event["object_id"]) for event in events) == [
        ("cited", 3),
        ("cited", 7),
    ]


ORDERS = [
    ("embedding", "retriever", "chain"),
    ("retriever", "embedding", "chain"),
    ("chain", "retriever", "embedding"),
    ("chain", "embedding", "retriever"),
]


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_spans_of_a_trace_that_come_apart_are_joined(sample, order):
    with serve_traces(sample, {}) as receiver:
        request = build_request([make_search("wings")])
        for part in order:
            assert not receiver.send(select_spans(request, part)).HasField("partial_success")
        searches, events = receiver.read()
    assert searches["wings"].vector.argmax() == 3
    assert [event["object_id"] for event in events] == [3]


def test_an_answer_that_is_sent_again_waits_as_one_that_has_just_come(sample, monkeypatch):
    monkeypatch.setattr(receiver_module, "MAX_WAITING_SPANS", 10)
    request = build_request([make_search("wings")])
    answer = select_spans(request, "chain")
    with serve_traces(sample, {}) as receiver:
        receiver.send(answer)
        receiver.send(copy_spans(answer, 9, first=1))
        receiver.send(answer)
        receiver.send(copy_spans(answer, 1, first=10))
        receiver.send(select_spans(request, "embedding"))
        receiver.send(select_spans(request, "retriever"))
        _, events = receiver.read()
    assert [event["object_id"] for event in events] == [3]


def copy_spans(
    request: ExportTraceServiceRequest, count: int, first: int
) -> ExportTraceServiceRequest:
    """A message with so many copies of its span, each of a trace of its own."""
    copies = ExportTraceServiceRequest()
    copies.CopyFrom(request)
    [span] = copies.resource_spans[0].scope_spans[0].spans
    copies.resource_spans[0].scope_spans[0].spans.extend([span] * (count - 1))
    for number, each in enumerate(copies.resource_spans[0].scope_spans[0].spans, first):
        each.trace_id, each.span_id = number.to_bytes(16, "big"), number.to_bytes(8, "big")
    return copies


def test_a_search_whose_vector_does_not_come_is_embedded_after_a_while(sample):
    with serve_traces(sample, {"hold_seconds": 0.5}, embed=f"{__name__}:embed_texts") as receiver:
        receiver.send(select_spans(build_request([make_search("wings")]), "retriever"))
        assert receiver.read()[0] == {}
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not receiver.read()[0]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert receiver.read()[0]["wings"].vector.argmax() == 5


def embed_texts(texts):
    return [[float(index == 5) for index in range(DIMENSION)] for _ in texts]


def test_what_still_waits_at_the_end_is_stored_or_counted(sample):
    with serve_traces(sample, {}, embed=f"{__name__}:embed_texts") as receiver:
        receiver.send(select_spans(build_request([make_search("wings")]), "retriever"))
        assert receiver.read()[0] == {}
    assert receiver.read()[0].keys() == {"wings"}
    with serve_traces(sample, {}) as receiver:
        receiver.send(select_spans(build_request([make_search("lost")]), "retriever"))
    assert receiver.read()[0].keys() == {"wings"}
    assert 'kind="traces",result="rejected"} 1.0' in receiver.metrics.render().decode()


def test_what_is_rejected_is_said_in_partial_success(sample):
    strange = LoggedSearch("strange", (1.0,), ("3",), time.time(), "s", "c")
    nowhere = LoggedSearch("nowhere", make_search("x").vector, ("99999",), time.time(), "s", "c")
    request = build_request([make_search("wings"), strange, nowhere])
    with serve_traces(sample, {}) as receiver:
        partial = receiver.send(request).partial_success
        status, body = receiver.post(json.dumps(convert_to_json(request)).encode(), JSON)
        assert receiver.read()[0].keys() == {"wings", "nowhere"}
    assert partial.rejected_spans == 2
    assert "wrong dimension" in partial.error_message
    assert (status, json.loads(body)["partialSuccess"]["rejectedSpans"]) == (200, "2")


def test_bodies_may_be_compressed(sample):
    body = build_request([make_search("wings")]).SerializeToString()
    with serve_traces(sample, {}) as receiver:
        assert receiver.post(gzip.compress(body), Content_Encoding="gzip") == (200, b"")
        assert receiver.read()[0].keys() == {"wings"}


BOMB = gzip.compress(bytes(64 * 2**20))


@pytest.mark.parametrize(
    ("body", "media_type", "headers", "status", "message"),
    [
        (b"\xff\xff", PROTOBUF, {}, 400, b"not an OTLP message"),
        (b"{", JSON, {}, 400, b"not JSON"),
        (b"[]", JSON, {}, 400, b"an object is expected"),
        (b'{"resourceSpans": 3}', JSON, {}, 400, b"not an OTLP message"),
        (b"no", PROTOBUF, {"Content_Encoding": "gzip"}, 400, b"not gzip"),
        (BOMB, PROTOBUF, {"Content_Encoding": "gzip"}, 400, b"once they are decompressed"),
        (BOMB[:-9], PROTOBUF, {"Content_Encoding": "br"}, 400, b"gzip is the only encoding"),
        (b"{}", "text/plain", {}, 415, b"application/x-protobuf or application/json"),
        (b"{}", JSON, {"Authorization": "Bearer guess"}, 401, b"a bearer token is needed"),
    ],
    ids=[
        *("protobuf", "json", "list", "number", "gzip", "bomb", "brotli", "text", "token"),
    ],
)
def test_what_is_no_export_is_refused_with_a_status(
    sample, body, media_type, headers, status, message
):
    with serve_traces(sample, {}) as receiver:
        answer = receiver.post(body, media_type, **headers)
    assert answer[0] == status
    assert message in answer[1]
    if media_type == JSON:
        assert json.loads(answer[1]).keys() == {"message"}
    elif media_type == PROTOBUF:
        assert answer[1].startswith(b"\x12")


class Shop(BaseRetriever):
    """A retriever that finds two documents, whatever is asked."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [Document(f"text {row}", metadata={"doc_id": row}) for row in (3, 4)]


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_an_instrumented_application_needs_an_address_alone(sample, compression):
    with serve_traces(sample, {"hold_seconds": 0}, embed=f"{__name__}:embed_texts") as receiver:
        exporter = OTLPSpanExporter(
            receiver.url, headers={"Authorization": f"Bearer {TOKEN}"}, compression=compression
        )
        results = []
        export = exporter.export
        exporter.export = lambda spans: results.append(export(spans)) or results[-1]
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        instrumentor = LangChainInstrumentor()
        instrumentor.instrument(tracer_provider=provider)
        try:
            Shop().invoke("red shoes")
        finally:
            instrumentor.uninstrument()
            provider.shutdown()
    searches, _ = receiver.read()
    assert results == [SpanExportResult.SUCCESS]
    assert searches["red shoes"].document["shown"] == [3, 4]


def test_the_daemon_takes_traces(tmp_path):
    workspace = make_workspace(tmp_path / "shop")
    workspace.write_config("[serve]\nfeedback_port = 0\n[feedback.traces]\nhold_seconds = 60")
    vector = tuple(map(float, workspace.data.queries[0]))
    search = LoggedSearch("wings", vector, ("3", "4"), time.time() - 60, "s1", "c1")
    child = workspace.start_process(
        "serve", "--port", "0", "--log-format", "json", NUDGE_SYNC_TOKEN=TOKEN
    )
    try:
        line = next(line for line in child.stderr if '"taking feedback"' in line)
        receiver = Receiver(None, json.loads(line)["port"], PrometheusMetrics())
        assert not receiver.send(build_request([search])).HasField("partial_success")
        child.send_signal(signal.SIGTERM)
        _, log = child.communicate(timeout=TIMEOUT_SECONDS)
        assert child.returncode == 0, log
    finally:
        child.kill()
        child.communicate()
    assert workspace.run("feedback", "stats")["searches"] == 1


def test_the_daemon_names_an_expression_that_is_none(tmp_path):
    workspace = make_workspace(tmp_path / "shop")
    workspace.write_config('[serve]\nfeedback_port = 0\n[feedback.traces]\npoint = "a..b"')
    child = workspace.start_process("serve", "--port", "0")
    _, log = child.communicate(timeout=TIMEOUT_SECONDS)
    assert (child.returncode, "feedback.traces: " in log) == (2, True), log
