"""A project of an Arize Phoenix server as a source of feedback.

Spans are listed in the order in which the server took them in, so that the last one is where to go
on. Annotations come later, also on spans that were read long ago: those of the last `lookback_days`
are asked for again, and what changed since the last time is handed over.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from nudge_sync.source import (
    Page,
    Row,
    SourceFacts,
    format_cursor,
    parse_cursor,
    read_secret,
    refuse_secrets_in_table,
    validate_settings,
)
from nudge_sync.source.http import JsonClient
from nudge_sync.source.openinference.rows import TraceReader
from nudge_sync.source.openinference.settings import (
    DAY_SECONDS,
    OVERLAP_SECONDS,
    TraceSettings,
)
from nudge_sync.source.openinference.spans import Span, nest_attributes, parse_time
from nudge_sync.source.phoenix.annotations import read_opinions

PHOENIX_KEY_VARIABLE = "PHOENIX_API_KEY"
_PAGE_SPANS = 1000
_BEGINNING = {"id": "", "span": "", "opinions": 0.0}


class PhoenixSettings(TraceSettings):
    """The table of a Phoenix source."""

    url: str = "http://localhost:6006"
    project: str = "default"
    api_key_file: Path | None = None
    """A file with the key, where the environment has no PHOENIX_API_KEY."""
    lookback_days: Annotated[float, Field(ge=0)] = 7.0
    """How long after its span an annotation is still seen."""


def open_phoenix(section: Mapping[str, Any]) -> PhoenixSource:
    """Return the source that a `[[feedback.sources]]` table describes. Raises ConfigError."""
    refuse_secrets_in_table(section, "feedback.sources", PHOENIX_KEY_VARIABLE, "api_key_file")
    return PhoenixSource(validate_settings(PhoenixSettings, section, "feedback.sources"))


class PhoenixSource:
    """See `nudge_sync.source.FeedbackSource`."""

    def __init__(self, settings: PhoenixSettings) -> None:
        self._settings = settings
        key = read_secret(PHOENIX_KEY_VARIABLE, settings.api_key_file, "api_key_file")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = JsonClient(settings.url, headers)
        self._path = f"/v1/projects/{settings.project}"

    def describe(self) -> SourceFacts:
        """See `FeedbackSource.describe`."""
        self._client.get(self._path)
        return SourceFacts("Arize Phoenix", "", frozenset())

    def close(self) -> None:
        """See `FeedbackSource.close`."""
        self._client.close()

    def read_pages(self, cursor: str = "") -> Iterator[Page]:
        """See `FeedbackSource.read_pages`."""
        state = parse_cursor(cursor, _BEGINNING)
        now = time.time()
        if state["id"] and not self._has_place(state):
            state = dict(_BEGINNING)
        reader = TraceReader(self._settings)
        newest = state["opinions"]
        if state["id"]:
            for rows, moment in self._read_late_opinions(reader, state):
                newest = max(newest, moment)
                yield Page(rows, format_cursor(state))
        for spans in self._list_spans(after=state["id"]):
            parsed = list(map(parse_span, spans))
            reader.learn(parsed)
            opinions = read_opinions(self._client, self._path, parsed, _map_ids(spans))
            rows = [*reader.build_search_rows(parsed), *reader.build_opinion_rows(opinions)]
            newest = max([newest, *(opinion.time for opinion in opinions)])
            last = spans[-1]
            state = {**state, "id": last["id"], "span": last["context"]["span_id"]}
            yield Page(rows, format_cursor(state))
        if state["id"]:
            # Not by a clock that is ahead: what comes until then would not be seen.
            yield Page([], format_cursor({**state, "opinions": min(newest, now)}))

    def _has_place(self, state: Mapping[str, Any]) -> bool:
        """Return whether the span that was last read is still the one of its id.

        It is not where another database stands behind the server; one that was deleted is no sign.
        """
        here = {"cursor": state["id"], "order": "asc", "limit": 1}
        found, _ = self._request_spans(here)
        if found and found[0]["id"] == state["id"]:
            return bool(found[0]["context"]["span_id"] == state["span"])
        if found:
            return True
        newest, _ = self._request_spans({"order": "desc", "limit": 1})
        return not newest

    def _read_late_opinions(
        self, reader: TraceReader, state: Mapping[str, Any]
    ) -> Iterator[tuple[list[Row], float]]:
        """Yield what changed on spans that were read before, and the moment of the newest."""
        start = time.time() - self._settings.lookback_days * DAY_SECONDS
        since = state["opinions"] - OVERLAP_SECONDS
        for spans in self._list_spans(until=state["id"], start=start):
            parsed = list(map(parse_span, spans))
            reader.learn(parsed)
            opinions = read_opinions(self._client, self._path, parsed, _map_ids(spans))
            late = [opinion for opinion in opinions if opinion.time > since]
            if late:
                moment = max(opinion.time for opinion in late)
                yield list(reader.build_opinion_rows(late)), moment

    def _list_spans(
        self, *, after: str = "", until: str = "", start: float | None = None
    ) -> Iterator[list[Any]]:
        """Yield spans in the order of their ids, in batches, none of them empty.

        after: the id of the span that was last read; until: that of the last one to read.
        start: the earliest start of a span, in seconds since 1970.
        """
        parameters: dict[str, Any] = {"order": "asc", "sort": "id", "limit": _PAGE_SPANS}
        if start is not None:
            parameters["start_time"] = datetime.fromtimestamp(start, UTC).isoformat()
        next_cursor: str | None = after
        while next_cursor is not None:
            page = {**parameters, **({"cursor": next_cursor} if next_cursor else {})}
            spans, next_cursor = self._request_spans(page)
            spans = [span for span in spans if span["id"] != after]
            ids = [span["id"] for span in spans]
            if until in ids:
                spans, next_cursor = spans[: ids.index(until) + 1], None
            if spans:
                yield spans

    def _request_spans(self, parameters: Mapping[str, Any]) -> tuple[list[Any], str | None]:
        answer = self._client.get(f"{self._path}/spans", {"sort": "id", **parameters})
        return answer["data"], answer["next_cursor"]


def parse_span(span: Mapping[str, Any]) -> Span:
    """Return a span as Phoenix lists it: attributes flat, and the kind of span beside them."""
    attributes = {**span["attributes"], "openinference.span.kind": span["span_kind"]}
    return Span(
        trace_id=span["context"]["trace_id"],
        span_id=span["context"]["span_id"],
        parent_id=span["parent_id"] or "",
        start=parse_time(span["start_time"]),
        end=parse_time(span["end_time"]),
        attributes=nest_attributes(attributes),
    )


def _map_ids(spans: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the id of each retriever span -> the id that GraphQL has for it."""
    return {
        span["context"]["span_id"]: span["id"] for span in spans if span["span_kind"] == "RETRIEVER"
    }
