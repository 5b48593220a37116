"""Runs and feedback of LangSmith, as its API lists them, as spans and opinions.

Runs: https://docs.langchain.com/langsmith/smithdb-sdk-migration-query-runs; feedback:
https://docs.langchain.com/langsmith/feedback-data-format. A `session_id` of LangSmith's own is the
project; the conversation of a run is its thread, or stands in the run's metadata.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from nudge_sync.source.openinference.payloads import build_attributes
from nudge_sync.source.openinference.spans import Opinion, Span, parse_time
from nudge_sync.source.openinference.trace_server import TraceOpinion

_SESSION_NAMES = ("session_id", "thread_id", "conversation_id")
"""Keys of a run's metadata by which LangSmith itself tells threads."""
_USER_NAMES = ("user_id", "user")
_ANNOTATORS = {"api": "HUMAN", "app": "HUMAN", "model": "LLM", "auto_eval": "LLM"}


def parse_run(run: Mapping[str, Any], retrievers: Collection[str] = ()) -> Span:
    """Return a run as a span. Raises LookupError, TypeError and ValueError.

    retrievers: names of runs that are retrievers whatever their type.
    """
    metadata = run.get("metadata") or (run.get("extra") or {}).get("metadata") or {}
    parents = run.get("parent_run_ids") or ()
    is_retriever = run.get("name") in retrievers
    return Span(
        trace_id=str(run["trace_id"]),
        span_id=str(run["id"]),
        parent_id=str(parents[-1]) if parents else "",
        start=parse_time(run["start_time"]),
        end=parse_time(run.get("end_time") or run["start_time"]),
        attributes=build_attributes(
            "RETRIEVER" if is_retriever else str(run["run_type"]).upper(),
            run.get("inputs"),
            run.get("outputs"),
            session=_find(metadata, _SESSION_NAMES) or run.get("thread_id"),
            user=_find(metadata, _USER_NAMES),
            metadata=metadata,
        ),
    )


def parse_feedback(
    entry: Mapping[str, Any], labels: Mapping[str, float], keys: Collection[str] = ()
) -> TraceOpinion | None:
    """Return a feedback as opinions; None where it is on no run.

    A value that is an object says grades by the ids of points; a score is a grade of the whole run,
    and a value that is a text is one where `labels` gives it. A correction and a comment are none.
    keys: the keys of feedback that count; (): all. Raises LookupError, TypeError and ValueError.
    """
    # The first run of a trace has its id.
    trace_id = entry.get("trace_id") or entry.get("run_id")
    if not trace_id:
        return None
    changed = parse_time(entry["modified_at"])
    source = entry.get("feedback_source") or {}
    is_trace = entry.get("run_id") in (None, entry.get("trace_id"))
    whole = Opinion(
        span_id="" if is_trace else str(entry["run_id"]),
        score=None,
        label="",
        annotator=_ANNOTATORS.get(source.get("type") or "", "CODE"),
        time=changed,
        client=str(source.get("user_id") or ""),
        trace_id=str(trace_id),
    )
    counts = not keys or entry["key"] in keys
    opinions = tuple(_list_opinions(whole, entry, labels)) if counts else ()
    return TraceOpinion(whole.trace_id, changed, opinions)


def _list_opinions(
    whole: Opinion, entry: Mapping[str, Any], labels: Mapping[str, float]
) -> Iterator[Opinion]:
    value, score = entry.get("value"), entry.get("score")
    if isinstance(value, Mapping):
        for point, grade in value.items():
            if isinstance(grade, (int, float)):
                yield replace(whole, score=float(grade), point=point)
    elif score is not None:
        yield replace(whole, score=float(score))
    elif isinstance(value, str) and value in labels:
        yield replace(whole, score=labels[value])


def _find(metadata: Mapping[str, Any], names: Collection[str]) -> str:
    return next((str(metadata[name]) for name in names if metadata.get(name)), "")
