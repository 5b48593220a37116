"""Servers that list the spans of a time, and opinions apart from them, as one kind of source.

Spans are read oldest first, in stretches of time, since such servers list the newest first and none
says what came in since the last time. Opinions come later, and may change: those of the last
`lookback_days` are listed again, and those that are new or changed are handed over, with the
searches of the traces that they are on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Protocol

from pydantic import Field

from nudge_sync.source import (
    MAX_PAGE_ROWS,
    Page,
    Row,
    SourceFacts,
    format_cursor,
    parse_cursor,
)
from nudge_sync.source.openinference.rows import TraceReader
from nudge_sync.source.openinference.settings import (
    DAY_SECONDS,
    MINUTE_SECONDS,
    OVERLAP_SECONDS,
    TraceSettings,
)
from nudge_sync.source.openinference.spans import Opinion, Span

_TRACE_SECONDS = 60.0
"""Spans this much older than a stretch are read with it, so that most traces are seen whole."""
_MAX_STRETCH_SPANS = 5000
_SHORTEST_STRETCH = 60.0
_LONGEST_STRETCH = 64 * DAY_SECONDS
_BATCH_OPINIONS = 200
_BEGINNING = {"began": 0.0, "opinions": 0.0}


class TraceServerSettings(TraceSettings):
    """What is said of every server that lists spans by time."""

    settle_minutes: Annotated[float, Field(ge=0)] = 15.0
    """How long after it began a span may still come to be stored; opinions wait as long for it."""
    lookback_days: Annotated[float, Field(ge=0)] = 7.0
    """How far back opinions are listed again, for those that came or changed late."""
    history_days: Annotated[float, Field(gt=0)] = 90.0
    """How far back searches and opinions are read at all."""
    retrievers: tuple[str, ...] = ()
    """The names of steps that are retrievers, but were logged as of another kind."""
    scores: tuple[str, ...] = ()
    """The names of the opinions that count; absent: all."""
    labels: dict[str, float] = Field(default_factory=dict)
    """Label -> grade, for opinions that are a label; others of them are no grades."""


@dataclass(frozen=True, slots=True)
class TraceOpinion:
    """Something that somebody said of a trace, and the opinions in it."""

    trace_id: str
    changed: float
    """When it was given or last changed, in seconds since 1970."""
    opinions: tuple[Opinion, ...]


class TraceServer(Protocol):
    """What a product has to offer; each call raises SourceError and SourceUnreachable."""

    product: str

    def check(self) -> str:
        """Return the server's version, "" if it says none; raise where something is missing."""
        ...

    def list_spans(self, start: float, end: float) -> Iterator[Span]:
        """Yield the spans that began from `start` on and before `end`, in any order."""
        ...

    def list_opinions(self, start: float, end: float) -> Iterator[TraceOpinion]:
        """Yield the opinions given from `start` on and before `end`, in any order."""
        ...

    def read_trace(self, trace_id: str, start: float) -> Sequence[Span]:
        """Return the spans of a trace, of those that began from `start` on."""
        ...

    def close(self) -> None:
        """Close the connection; may be called twice."""
        ...


class TraceServerSource:
    """See `nudge_sync.source.FeedbackSource`. The cursor: up to when searches, and opinions."""

    def __init__(self, settings: TraceServerSettings, server: TraceServer) -> None:
        self._settings = settings
        self._server = server

    def describe(self) -> SourceFacts:
        """See `FeedbackSource.describe`."""
        return SourceFacts(self._server.product, self._server.check(), frozenset())

    def close(self) -> None:
        """See `FeedbackSource.close`."""
        self._server.close()

    def read_pages(self, cursor: str = "") -> Iterator[Page]:
        """See `FeedbackSource.read_pages`."""
        state = parse_cursor(cursor, _BEGINNING)
        now = time.time()
        reader = TraceReader(self._settings)
        settled = now - self._settings.settle_minutes * MINUTE_SECONDS
        first = now - self._settings.history_days * DAY_SECONDS
        stretches = read_stretches(self._server.list_spans, max(first, state["began"]), now)
        for spans, end in stretches:
            reader.learn(spans)
            rows = list(reader.build_search_rows(spans))
            began = max(state["began"], min(settled, end))
            yield from _split_pages(rows, state, {**state, "began": began})
            state["began"] = began
        for rows, newest in self._read_opinions(reader, state["opinions"], now):
            # Not by a clock that is ahead: what comes until then would not be seen.
            opinions = max(state["opinions"], min(newest, now))
            yield from _split_pages(rows, state, {**state, "opinions": opinions})
            state["opinions"] = opinions
        # What was given long before this time is not looked up again the next time.
        yield Page([], format_cursor({**state, "opinions": max(state["opinions"], now)}))

    def _read_opinions(
        self, reader: TraceReader, read_up_to: float, now: float
    ) -> Iterator[tuple[list[Row], float]]:
        """Yield what came or changed since `read_up_to`, oldest first, and when its newest did.

        An opinion may be stored before the trace that it is on, and then comes to nothing: it is
        handed over again until that trace has had its time to come.
        """
        days = self._settings.lookback_days if read_up_to else self._settings.history_days
        settle_seconds = self._settings.settle_minutes * MINUTE_SECONDS
        since = read_up_to - settle_seconds - OVERLAP_SECONDS
        start = now - days * DAY_SECONDS
        listed = self._server.list_opinions(min(start, since) if read_up_to else start, now)
        new = sorted(
            (opinion for opinion in listed if opinion.changed > since),
            key=lambda opinion: (opinion.changed, opinion.trace_id),
        )
        remaining = iter(new)
        while batch := list(islice(remaining, _BATCH_OPINIONS)):
            rows = [*self._read_searches(reader, batch, now)]
            opinions = [opinion for entry in batch for opinion in entry.opinions]
            rows += reader.build_opinion_rows(opinions)
            yield rows, batch[-1].changed

    def _read_searches(
        self, reader: TraceReader, batch: Sequence[TraceOpinion], now: float
    ) -> Iterator[Row]:
        """Yield the searches that opinions are on, of traces that were not read this time."""
        start = now - self._settings.history_days * DAY_SECONDS
        for trace_id in dict.fromkeys(entry.trace_id for entry in batch if entry.opinions):
            if not reader.knows_search(trace_id):
                spans = self._server.read_trace(trace_id, start)
                reader.learn(spans)
                yield from reader.build_search_rows(spans)


def read_stretches(
    list_spans: Callable[[float, float], Iterator[Span]], start: float, end: float
) -> Iterator[tuple[list[Span], float]]:
    """Yield all spans from `start` to `end`, oldest first, and up to when that is.

    A stretch with more than some thousand spans is read as shorter ones, a minute at least. Each
    begins a minute early, so that a trace that lies across its border is seen whole.
    """
    length = DAY_SECONDS
    while start < end:
        stop = min(start + length, end)
        early = start - _TRACE_SECONDS
        limit = _MAX_STRETCH_SPANS if length > _SHORTEST_STRETCH else None
        spans = list(islice(list_spans(early, stop), None if limit is None else limit + 1))
        if limit is not None and len(spans) > limit:
            length = max(_SHORTEST_STRETCH, length / 4)
            continue
        yield sorted(spans, key=lambda span: (span.start, span.span_id)), stop
        start = stop
        if len(spans) < _MAX_STRETCH_SPANS / 8:
            length = min(2 * length, _LONGEST_STRETCH)


def _split_pages(
    rows: Sequence[Row], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Page]:
    """Yield rows in pages; the last one alone may say that all of them were read."""
    for first in range(0, max(1, len(rows)), MAX_PAGE_ROWS):
        is_last = first + MAX_PAGE_ROWS >= len(rows)
        state = after if is_last else before
        yield Page(rows[first : first + MAX_PAGE_ROWS], format_cursor(state))
