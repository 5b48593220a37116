"""Traces as MLflow's REST interface returns them, as spans and opinions.

Traces: https://mlflow.org/docs/latest/genai/concepts/trace/ and
https://mlflow.org/docs/latest/genai/concepts/span/ for what a retriever puts out.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from nudge_sync.source.openinference.payloads import build_attributes
from nudge_sync.source.openinference.spans import Opinion, Span, parse_time

_NANOSECONDS = 1e9
_ANNOTATORS = {"HUMAN": "HUMAN", "LLM_JUDGE": "LLM", "AI_JUDGE": "LLM", "CODE": "CODE"}


def parse_trace(trace: Mapping[str, Any]) -> list[Span]:
    """Return the spans of a trace, with their attributes under OpenInference's names."""
    info = trace["trace_info"]
    metadata = info.get("trace_metadata") or {}
    session, user = (metadata.get(f"mlflow.trace.{name}") or "" for name in ("session", "user"))
    return [_parse_span(span, info["trace_id"], session, user) for span in trace.get("spans") or ()]


def read_assessments(info: Mapping[str, Any], root_id: str) -> Iterator[Opinion]:
    """Yield the opinions in the assessments of a trace.

    A feedback whose value is an object says grades by document ids, an expectation that is a list
    says which documents were to be found; any other feedback is about the span as a whole.
    root_id: the span that is meant where none is named.
    """
    for assessment in info.get("assessments") or ():
        source = assessment.get("source") or {}
        whole = Opinion(
            span_id=assessment.get("span_id") or root_id,
            score=None,
            label="",
            annotator=_ANNOTATORS.get(source.get("source_type", ""), "CODE"),
            time=parse_time(assessment["last_update_time"]),
            client=source.get("source_id") or "",
        )
        if "expectation" in assessment:
            for point in _list_ids(_read_expectation(assessment["expectation"])):
                yield replace(whole, score=1.0, point=point)
        else:
            yield from _split_feedback(whole, (assessment.get("feedback") or {}).get("value"))


def _split_feedback(whole: Opinion, value: Any) -> Iterator[Opinion]:
    if isinstance(value, Mapping):
        for point, grade in value.items():
            if isinstance(grade, (int, float)):
                yield replace(whole, score=float(grade), point=point)
    elif isinstance(value, (int, float)):
        yield replace(whole, score=float(value))
    elif isinstance(value, str):
        yield replace(whole, label=value)


def _read_expectation(expectation: Mapping[str, Any]) -> Any:
    if "serialized_value" not in expectation:
        return expectation.get("value")
    try:
        return json.loads(expectation["serialized_value"]["value"])
    except (ValueError, KeyError, TypeError):
        return None


def _list_ids(value: Any) -> Iterator[int | str]:
    for entry in value if isinstance(value, list) else ():
        inner = entry.get("doc_id") or entry.get("id") if isinstance(entry, Mapping) else entry
        if isinstance(inner, (int, str)) and not isinstance(inner, bool):
            yield inner


def _parse_span(span: Mapping[str, Any], trace_id: str, session: str, user: str) -> Span:
    values = {entry["key"]: _read_value(entry.get("value") or {}) for entry in span["attributes"]}
    return Span(
        trace_id=trace_id,
        span_id=b64decode(span["span_id"]).hex(),
        parent_id=b64decode(span.get("parent_span_id") or "").hex(),
        start=int(span["start_time_unix_nano"]) / _NANOSECONDS,
        end=int(span["end_time_unix_nano"]) / _NANOSECONDS,
        attributes=build_attributes(
            str(values.get("mlflow.spanType") or ""),
            values.get("mlflow.spanInputs"),
            values.get("mlflow.spanOutputs"),
            session=session,
            user=user,
        ),
    )


def _read_value(value: Mapping[str, Any]) -> Any:
    """Return what an attribute holds; protobuf's JSON names the fields as protobuf does."""
    for name, content in value.items():
        match name:
            case "int_value":
                return int(content)
            case "array_value":
                return [_read_value(part) for part in content.get("values") or ()]
            case "kvlist_value":
                entries = content.get("values") or ()
                return {each["key"]: _read_value(each.get("value") or {}) for each in entries}
            case _:
                return content
    return None
