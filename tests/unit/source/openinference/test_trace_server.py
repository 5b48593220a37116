"""Reading a server that lists spans by time, in stretches that are neither long nor short."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from nudge_sync.source.openinference.spans import Opinion, Span
from nudge_sync.source.openinference.trace_server import (
    TraceOpinion,
    TraceServerSettings,
    TraceServerSource,
    read_stretches,
)

DAY = 86_400.0
MINUTE = 60.0


class Timeline:
    """Spans at some moments; counts how many were handed over."""

    def __init__(self, moments) -> None:
        self.spans = [
            Span("t", str(index), "", moment, moment) for index, moment in enumerate(moments)
        ]
        self.count = 0
        self.requests = 0

    def list_spans(self, start: float, end: float) -> Iterator[Span]:
        self.requests += 1
        for span in reversed(self.spans):
            if start <= span.start < end:
                self.count += 1
                yield span


def read_all(timeline: Timeline, end: float) -> list[str]:
    stretches = list(read_stretches(timeline.list_spans, 0.0, end))
    ends = [stop for _, stop in stretches]
    assert ends == sorted(ends)
    assert ends[-1] == end
    for spans, _ in stretches:
        assert [span.start for span in spans] == sorted(span.start for span in spans)
    return [span.span_id for spans, _ in stretches for span in spans]


def test_every_span_is_read():
    timeline = Timeline([day * DAY + 60.0 for day in range(100)])
    read = read_all(timeline, 100 * DAY)
    assert set(read) == {span.span_id for span in timeline.spans}


def test_years_of_silence_take_few_requests():
    timeline = Timeline([])
    read_all(timeline, 3650 * DAY)
    assert timeline.requests < 100


def test_a_busy_day_is_read_in_parts():
    timeline = Timeline([DAY + index * 2.0 for index in range(40_000)])
    read = read_all(timeline, 3 * DAY)
    assert set(read) == {span.span_id for span in timeline.spans}
    # Each stretch but the first is read once, and those that were too long not to their end.
    assert timeline.count < 2 * len(timeline.spans)


def test_more_spans_in_a_minute_than_a_stretch_should_have():
    timeline = Timeline([DAY + index / 100 for index in range(30_000)])
    read = read_all(timeline, 2 * DAY)
    assert set(read) == {span.span_id for span in timeline.spans}
    # The minute before each stretch is read with it, and six stretches were too long.
    assert timeline.count < 3.5 * len(timeline.spans)


def test_a_trace_across_a_border_is_seen_whole():
    border = DAY
    timeline = Timeline([border - 1.0, border + 1.0])
    stretches = list(read_stretches(timeline.list_spans, 0.0, 2 * DAY))
    assert any(len(spans) == 2 for spans, _ in stretches)


class Server:
    """Spans and opinions that are there by now."""

    product = "a server"

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.opinions: list[TraceOpinion] = []

    def check(self) -> str:
        return ""

    def list_spans(self, start: float, end: float) -> Iterator[Span]:
        return (span for span in self.spans if start <= span.start < end)

    def list_opinions(self, start: float, end: float) -> Iterator[TraceOpinion]:
        return (opinion for opinion in self.opinions if start <= opinion.changed < end)

    def read_trace(self, trace_id: str, start: float) -> list[Span]:
        return [span for span in self.spans if span.trace_id == trace_id and span.start >= start]

    def close(self) -> None:
        pass


def make_search(began: float) -> Span:
    attributes = {
        "openinference": {"span": {"kind": "RETRIEVER"}},
        "input": {"value": "shoes"},
        "retrieval": {"documents": [{"document": {"id": "p1"}}]},
    }
    return Span("t", "retriever", "chain", began, began, attributes)


def make_opinion(span_id: str, given: float, **fields: Any) -> TraceOpinion:
    opinion = Opinion(span_id, 1.0, "", "HUMAN", time=given, trace_id="t", **fields)
    return TraceOpinion("t", given, (opinion,))


def pull(server: Server, cursor: str, **settings: Any) -> tuple[list[tuple[str, str]], str]:
    """The events that came of a fetch, and where the next one goes on."""
    source = TraceServerSource(TraceServerSettings(**settings), server)
    pages = list(source.read_pages(cursor))
    events = [row for page in pages for row in page.rows if row["type"] == "event"]
    return [(row["action"], row.get("point", "")) for row in events], pages[-1].cursor


@pytest.mark.parametrize(("settings", "minutes"), [({}, 14), ({"settle_minutes": 120}, 119)])
def test_an_opinion_waits_for_its_trace(settings, minutes):
    server, began = Server(), time.time() - minutes * MINUTE
    server.opinions = [make_opinion("retriever", began + 1, point="p1")]
    events, cursor = pull(server, "", **settings)
    assert events == []
    server.spans = [make_search(began)]
    events, cursor = pull(server, cursor, **settings)
    assert events == [("relevant", "p1")]


def test_a_thumb_waits_for_the_answer_that_cites():
    server, began = Server(), time.time() - 14 * MINUTE
    server.spans = [make_search(began)]
    server.opinions = [make_opinion("", began + 1)]
    events, cursor = pull(server, "", cited="metadata.cited")
    assert events == [("uncited_thumb", "")]
    answer = Span("t", "chain", "", began, began, {"metadata": {"cited": ["p1"]}})
    server.spans.append(answer)
    events, cursor = pull(server, cursor, cited="metadata.cited")
    assert ("thumb", "p1") in events


def test_an_opinion_whose_trace_had_its_time_is_not_looked_up_again():
    server, began = Server(), time.time() - DAY
    server.spans = [make_search(began)]
    server.opinions = [make_opinion("retriever", began + 1, point="p1")]
    events, cursor = pull(server, "")
    assert events == [("relevant", "p1")]
    assert pull(server, cursor)[0] == []
