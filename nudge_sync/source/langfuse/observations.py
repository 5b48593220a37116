"""Observations and scores of Langfuse, as its API lists them, as spans and opinions.

Observations: https://langfuse.com/docs/api-and-data-platform/features/observations-api; scores:
https://langfuse.com/docs/api-and-data-platform/features/scores-api.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nudge_sync.source.langfuse.settings import LangfuseSettings
from nudge_sync.source.openinference.payloads import build_attributes
from nudge_sync.source.openinference.settings import compile_expression
from nudge_sync.source.openinference.spans import Opinion, Span, parse_time
from nudge_sync.source.openinference.trace_server import TraceOpinion

SOURCES_BY_ANNOTATOR = {"HUMAN": ("ANNOTATION", "API"), "LLM": ("EVAL",), "CODE": ()}
"""Where whose scores come from: people's from Langfuse's pages, and from applications."""
_ANNOTATOR_BY_SOURCE = {
    source: annotator for annotator, sources in SOURCES_BY_ANNOTATOR.items() for source in sources
}
_EDIT_SECONDS = 60.0
"""A score that was updated so long after it was created was changed by somebody."""


class LangfuseReader:
    """Turns observations and scores as the API lists them into spans and opinions."""

    def __init__(self, settings: LangfuseSettings) -> None:
        self._settings = settings
        self._point = compile_expression(settings.score_point)

    def parse_observation(self, entry: Mapping[str, Any]) -> Span:
        """Return an observation as a span. Raises LookupError, TypeError and ValueError."""
        kind = str(entry["type"]).upper()
        if entry.get("name") in self._settings.retrievers:
            kind = "RETRIEVER"
        metadata = entry.get("metadata") or {}
        return Span(
            trace_id=str(entry["traceId"]),
            span_id=str(entry["id"]),
            parent_id=entry.get("parentObservationId") or "",
            start=parse_time(entry["startTime"]),
            end=parse_time(entry.get("endTime") or entry["startTime"]),
            attributes=build_attributes(
                kind,
                parse_payload(entry.get("input")),
                parse_payload(entry.get("output")),
                session=entry.get("sessionId"),
                user=entry.get("userId"),
                metadata={name: parse_payload(value) for name, value in metadata.items()},
            ),
        )

    def parse_score(self, entry: Mapping[str, Any]) -> TraceOpinion | None:
        """Return a score of a trace or of an observation; None where it is of anything else.

        One that is no grade comes without opinions. Raises LookupError, TypeError and ValueError.
        """
        subject = entry.get("subject") or {}
        if subject.get("kind") not in ("trace", "observation"):
            return None
        is_trace = subject["kind"] == "trace"
        trace_id = str(subject["id"] if is_trace else subject["traceId"])
        timestamp, changed = parse_time(entry["timestamp"]), parse_time(entry["updatedAt"])
        is_edited = changed - parse_time(entry["createdAt"]) > _EDIT_SECONDS
        grade = self._read_score(entry)
        opinion = Opinion(
            span_id="" if is_trace else str(subject["id"]),
            score=grade,
            label="",
            annotator=_ANNOTATOR_BY_SOURCE.get(entry["source"], "CODE"),
            time=changed if is_edited else timestamp,
            client=entry.get("authorUserId") or "",
            point=self._find_point(entry),
            trace_id=trace_id,
        )
        counts = grade is not None and self._has_name(entry)
        return TraceOpinion(trace_id, changed, (opinion,) if counts else ())

    def _find_point(self, entry: Mapping[str, Any]) -> int | str | None:
        point = self._point.search(entry)
        return point if isinstance(point, (int, str)) and not isinstance(point, bool) else None

    def _has_name(self, entry: Mapping[str, Any]) -> bool:
        return not self._settings.scores or entry["name"] in self._settings.scores

    def _read_score(self, entry: Mapping[str, Any]) -> float | None:
        """Return the grade in a score; a label has one only where the table gives it."""
        match entry["dataType"]:
            case "NUMERIC" | "BOOLEAN":
                return float(entry["value"])
            case "CATEGORICAL" | "TEXT":
                return self._settings.labels.get(entry["value"])
            case _:
                return None


def parse_payload(value: Any) -> Any:
    """Return the object or the list in a text that holds one as JSON, or the value as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
