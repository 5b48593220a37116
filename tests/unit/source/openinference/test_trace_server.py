"""Reading a server that lists spans by time, in stretches that are neither long nor short."""

from __future__ import annotations

from collections.abc import Iterator

from nudge_sync.source.openinference.spans import Span
from nudge_sync.source.openinference.trace_server import read_stretches

DAY = 86_400.0


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
