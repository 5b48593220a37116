"""Where the marks of a chart stand, in the units of its SVG; templates draw them.

Drawn by hand rather than by a plotting library, whose SVG carries styles that the pages' policy
refuses, and knows neither dark mode nor the text size of the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from nudge_sync.evaluate.inspection.point_picture import PictureItem

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 10, 28
"""Room for the labels of the axes."""
_MAX_BINS = 30
_MAX_TICKS = 5
_NICE_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled line of an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, and what it stands for."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class BarChart:
    """A histogram, or bars in the order of time."""

    bars: list[Bar]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


@dataclass(frozen=True, slots=True)
class GainMark:
    """One revision: its mean gain, and the interval as a line from `low_y` to `high_y`."""

    x: float
    y: float
    low_y: float
    high_y: float
    text: str


@dataclass(frozen=True, slots=True)
class GainChart:
    """Gains with their intervals, in the order of time."""

    marks: list[GainMark]
    zero_y: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]


@dataclass(frozen=True, slots=True)
class GainRow:
    """What a chart of gains is drawn from; `gain`, `low` and `high` in points of 100."""

    label: str
    gain: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PlaneMark:
    """A vector in the plane: a dot, and an arrow where it moved."""

    kind: str
    label: str
    x: float
    y: float
    end_x: float
    end_y: float
    has_moved: bool


def build_angle_histogram(angles: Sequence[float]) -> BarChart:
    """Return a histogram of angles in radians, drawn in degrees."""
    degrees = np.degrees(np.asarray(angles, np.float64))
    top = float(degrees.max()) if len(degrees) else 1.0
    ticks = list_ticks(0.0, max(top, 0.5))
    edges = np.linspace(0.0, ticks[-1], _MAX_BINS + 1)
    counts, _ = np.histogram(degrees, bins=edges)
    texts = [
        f"{low:.1f}° to {high:.1f}°: {count:,} points"
        for low, high, count in zip(edges, edges[1:], counts.tolist(), strict=False)
    ]
    scale = _Scale(0.0, ticks[-1], LEFT, WIDTH - RIGHT)
    labels = [Tick(scale.place(tick), f"{tick:g}°") for tick in ticks]
    return _build_bars(counts.tolist(), texts, labels)


def build_day_bars(days: Sequence[str], counts: Sequence[int], what: str) -> BarChart:
    """Return a bar for each day, which are in order and without gaps."""
    slot = (WIDTH - LEFT - RIGHT) / max(len(days), 1)
    step = max(1, math.ceil(len(days) / _MAX_TICKS))
    texts = [f"{day}: {count:,} {what}" for day, count in zip(days, counts, strict=True)]
    labels = [
        Tick(LEFT + slot * (row + 0.5), _shorten_day(days[row]))
        for row in range(step // 2, len(days), step)
    ]
    return _build_bars(counts, texts, labels)


def _shorten_day(day: str) -> str:
    """Return an ISO date as a label of an axis, such as "7 Nov"."""
    moment = date.fromisoformat(day)
    return f"{moment.day} {moment:%b}"


def build_gain_chart(rows: Sequence[GainRow]) -> GainChart:
    """Return the gains of revisions with their intervals, oldest first."""
    lowest = min([0.0, *(row.low for row in rows)])
    highest = max([0.0, *(row.high for row in rows)])
    ticks = list_ticks(lowest, highest if highest > lowest else lowest + 1.0)
    scale = _Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    slot = (WIDTH - LEFT - RIGHT) / max(len(rows), 1)
    step = max(1, math.ceil(len(rows) / 10))
    marks = [
        GainMark(
            LEFT + slot * (index + 0.5),
            scale.place(row.gain),
            scale.place(row.low),
            scale.place(row.high),
            f"{row.label}: {row.gain:+z.2f} points, {row.low:+z.2f} to {row.high:+z.2f}",
        )
        for index, row in enumerate(rows)
    ]
    return GainChart(
        marks,
        scale.place(0.0),
        [Tick(marks[row].x, rows[row].label) for row in range(0, len(rows), step)],
        [Tick(scale.place(tick), f"{tick:+g}" if tick else "0") for tick in ticks],
    )


def lay_out_plane(items: Sequence[PictureItem]) -> list[PlaneMark]:
    """Return the marks of a picture of vectors, to scale: a unit is as wide as it is high."""
    spots = np.array([spot for item in items for spot in (item.start, item.end)])
    if not len(spots):
        return []
    middle = (spots.max(axis=0) + spots.min(axis=0)) / 2
    spread = np.maximum((spots.max(axis=0) - spots.min(axis=0)) / 2, 1e-9)
    room = np.array([WIDTH / 2 - 60, PLANE_HEIGHT / 2 - 30])
    scale = float((room / spread).min())

    def place(spot: tuple[float, float]) -> tuple[float, float]:
        x, y = (np.array(spot) - middle) * scale
        return round(WIDTH / 2 + float(x), 2), round(PLANE_HEIGHT / 2 - float(y), 2)

    return [
        PlaneMark(
            item.kind, item.label, *place(item.start), *place(item.end), item.start != item.end
        )
        for item in items
    ]


PLANE_HEIGHT = 360


def list_ticks(low: float, high: float) -> list[float]:
    """Return round numbers from at or below `low` to at or above `high`, evenly spaced."""
    raw_step = (high - low) / _MAX_TICKS
    magnitude = 10.0 ** math.floor(math.log10(raw_step))
    step = next(magnitude * nice for nice in _NICE_STEPS if magnitude * nice >= raw_step * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class _Scale:
    """A straight line from values to places on the drawing."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def _build_bars(counts: Sequence[int], texts: Sequence[str], x_ticks: list[Tick]) -> BarChart:
    y_values = [tick for tick in list_ticks(0.0, max([*counts, 1])) if tick == int(tick)]
    scale = _Scale(0.0, max(y_values[-1], *counts, 1), HEIGHT - BOTTOM, TOP)
    slot = (WIDTH - LEFT - RIGHT) / max(len(counts), 1)
    gap = min(2.0, slot * 0.2)
    bars = [
        Bar(
            round(LEFT + slot * index + gap / 2, 2),
            scale.place(count),
            round(slot - gap, 2),
            round(HEIGHT - BOTTOM - scale.place(count), 2),
            text,
        )
        for index, (count, text) in enumerate(zip(counts, texts, strict=True))
        if count
    ]
    y_ticks = [Tick(scale.place(value), f"{int(value):,}") for value in y_values]
    return BarChart(bars, x_ticks, y_ticks)
