"""Traces as an instrumented application exports them: OTLP with OpenInference's attributes."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from nudge_sync.testing.source_conformance import LoggedSearch


def make_trace_id(search: LoggedSearch, salt: str = "") -> str:
    return blake2b(f"{salt}{search.text}".encode(), digest_size=16).hexdigest()


def make_span_id(search: LoggedSearch, part: str, salt: str = "") -> str:
    return blake2b(f"{salt}{search.text} {part}".encode(), digest_size=8).hexdigest()


def build_request(
    searches: Sequence[LoggedSearch], project: str = "", salt: str = ""
) -> ExportTraceServiceRequest:
    """The spans of one chain for each search: the embedding, the retriever and the chain itself."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    if project:
        _set(resource.resource.attributes, "openinference.project.name", project)
    spans = resource.scope_spans.add().spans
    for search in searches:
        _add_chain(spans, search, salt)
    return request


def _add_chain(spans: Any, search: LoggedSearch, salt: str) -> None:
    common = {"session.id": search.session, "user.id": search.client}
    chain = make_span_id(search, "chain", salt)
    _add_span(
        spans,
        search,
        salt,
        "embedding",
        chain,
        {
            "openinference.span.kind": "EMBEDDING",
            "embedding.embeddings.0.embedding.text": search.text,
            "embedding.embeddings.0.embedding.vector": list(search.vector),
            **common,
        },
    )
    documents: dict[str, Any] = {}
    for index, point in enumerate(search.shown):
        prefix = f"retrieval.documents.{index}.document"
        documents[f"{prefix}.content"] = f"the text of {point}"
        documents[f"{prefix}.score"] = 1.0 - index / 10
        documents[f"{prefix}.metadata"] = json.dumps({"doc_id": point})
    _add_span(
        spans,
        search,
        salt,
        "retriever",
        chain,
        {
            "openinference.span.kind": "RETRIEVER",
            "input.value": search.text,
            **documents,
            **common,
        },
    )
    answer = {
        "openinference.span.kind": "CHAIN",
        "input.value": search.text,
        "output.value": json.dumps({"answer": "so", "cited": [search.shown[0]]}),
        "metadata": json.dumps({"cited": [search.shown[0]]}),
        **common,
    }
    _add_span(spans, search, salt, "chain", "", answer)


def _add_span(
    spans: Any, search: LoggedSearch, salt: str, part: str, parent: str, attributes: dict[str, Any]
) -> None:
    span = spans.add(name=part, kind=1)
    span.trace_id = bytes.fromhex(make_trace_id(search, salt))
    span.span_id = bytes.fromhex(make_span_id(search, part, salt))
    span.parent_span_id = bytes.fromhex(parent)
    span.start_time_unix_nano = int(search.time * 1e9)
    span.end_time_unix_nano = span.start_time_unix_nano + 250_000_000
    for name, value in attributes.items():
        _set(span.attributes, name, value)


def _set(attributes: Any, name: str, value: Any) -> None:
    attributes.append(KeyValue(key=name, value=_build_value(value)))


def _build_value(value: Any) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    built = AnyValue()
    built.array_value.values.extend(_build_value(part) for part in value)
    return built


def convert_to_json(request: ExportTraceServiceRequest) -> dict[str, Any]:
    """A message in OTLP's JSON, which has ids in hexadecimal where protobuf's has base64."""
    message: dict[str, Any] = MessageToDict(request)
    for resource in message["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = b64decode(span[name]).hex()
    return message


def select_spans(request: ExportTraceServiceRequest, name: str) -> ExportTraceServiceRequest:
    """A message with the spans of this name alone: embedding, retriever or chain."""
    selected = ExportTraceServiceRequest()
    selected.CopyFrom(request)
    for scope in (scope for resource in selected.resource_spans for scope in resource.scope_spans):
        kept = [span for span in scope.spans if span.name == name]
        del scope.spans[:]
        scope.spans.extend(kept)
    return selected
