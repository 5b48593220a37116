"""Spans in OTLP messages, as JSON and as protobuf.

The messages: https://github.com/open-telemetry/opentelemetry-proto. In OTLP's JSON ids are
hexadecimal and 64-bit integers are texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from nudge_sync.errors import InputError
from nudge_sync.source.openinference.spans import Span, nest_attributes

_NANOSECONDS = 1e9


def read_json_message(message: Mapping[str, Any]) -> Iterator[Span]:
    """Yield the spans in a message of OTLP's JSON, such as a line of the collector's file exporter.

    Raises InputError for what is none.
    """
    try:
        for resource in message.get("resourceSpans") or ():
            for scope in resource.get("scopeSpans") or ():
                yield from map(_parse_json_span, scope.get("spans") or ())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"not an OTLP message: {type(error).__name__}: {error}") from None


def read_protobuf_message(message: bytes) -> Iterator[Span]:
    """Yield the spans in a binary message. Raises InputError for what is none."""
    try:
        # An export request and a file of traces have the same field at the same place.
        traces = TracesData.FromString(message)
    except DecodeError as error:
        raise InputError(f"not an OTLP message: {error}") from None
    for resource in traces.resource_spans:
        for scope in resource.scope_spans:
            yield from map(_parse_protobuf_span, scope.spans)


def _parse_json_span(span: Mapping[str, Any]) -> Span:
    attributes = {
        entry["key"]: _read_json_value(entry.get("value") or {})
        for entry in span.get("attributes") or ()
    }
    return Span(
        trace_id=span["traceId"].lower(),
        span_id=span["spanId"].lower(),
        parent_id=(span.get("parentSpanId") or "").lower(),
        start=int(span.get("startTimeUnixNano") or 0) / _NANOSECONDS,
        end=int(span.get("endTimeUnixNano") or 0) / _NANOSECONDS,
        attributes=nest_attributes(attributes),
    )


def _read_json_value(value: Mapping[str, Any]) -> Any:
    for name, content in value.items():
        match name:
            case "intValue":
                return int(content)
            case "arrayValue":
                return [_read_json_value(part) for part in content.get("values") or ()]
            case "kvlistValue":
                entries = content.get("values") or ()
                return {each["key"]: _read_json_value(each.get("value") or {}) for each in entries}
            case _:
                return content
    return None


def _parse_protobuf_span(span: Any) -> Span:
    attributes = {entry.key: _read_protobuf_value(entry.value) for entry in span.attributes}
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano / _NANOSECONDS,
        end=span.end_time_unix_nano / _NANOSECONDS,
        attributes=nest_attributes(attributes),
    )


def _read_protobuf_value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_read_protobuf_value(part) for part in value.array_value.values]
    if kind == "kvlist_value":
        return {each.key: _read_protobuf_value(each.value) for each in value.kvlist_value.values}
    return getattr(value, kind) if kind else None
