"""Where the marks of charts stand."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.console.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    PLANE_HEIGHT,
    RIGHT,
    WIDTH,
    GainRow,
    build_angle_histogram,
    build_day_bars,
    build_gain_chart,
    lay_out_plane,
    list_ticks,
)
from nudge_sync.evaluate.inspection.point_picture import PictureItem


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0, 57.3, [0, 20, 40, 60]),
        (-3, 21, [-5, 0, 5, 10, 15, 20, 25]),
        (0, 0.01, [0, 0.002, 0.004, 0.006, 0.008, 0.01]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low, high, ticks):
    assert list_ticks(low, high) == pytest.approx(ticks)


def test_a_histogram_counts_every_angle_once():
    angles = np.radians(np.linspace(0, 40, 1000))
    chart = build_angle_histogram(angles.tolist())
    counts = [int(bar.text.split(": ")[1].split()[0].replace(",", "")) for bar in chart.bars]
    assert sum(counts) == 1000
    for bar in chart.bars:
        assert bar.x >= LEFT
        assert bar.x + bar.width <= WIDTH - RIGHT + 0.01
        assert bar.y + bar.height == pytest.approx(HEIGHT - BOTTOM)
    assert build_angle_histogram([]).bars == []
    assert len(build_angle_histogram([0.0, 0.0]).bars) == 1


def test_bars_of_days_are_in_order_and_to_scale():
    chart = build_day_bars(["2026-05-01", "2026-05-02", "2026-05-03"], [5, 0, 10], "events")
    assert [bar.text for bar in chart.bars] == ["2026-05-01: 5 events", "2026-05-03: 10 events"]
    assert chart.bars[1].height == pytest.approx(2 * chart.bars[0].height)
    assert chart.bars[0].x < chart.bars[1].x


def test_gains_stand_above_and_below_zero():
    chart = build_gain_chart([GainRow("1", 2.0, 1.0, 3.0), GainRow("2", -1.0, -2.0, 0.5)])
    up, down = chart.marks
    assert up.y < chart.zero_y < down.y
    assert up.high_y < up.y < up.low_y
    assert "revision" not in up.text
    assert up.text == "1: +2.00 points, +1.00 to +3.00"
    assert build_gain_chart([GainRow("1", 0.0, 0.0, 0.0)]).marks[0].y == pytest.approx(
        build_gain_chart([GainRow("1", 0.0, 0.0, 0.0)]).zero_y
    )


def test_a_plane_keeps_distances_in_proportion():
    items = [
        PictureItem("point", "a", (0.0, 0.0), (1.0, 0.0)),
        PictureItem("query", "b", (0.0, 1.0), (0.0, 1.0)),
    ]
    moved, query = lay_out_plane(items)
    assert moved.has_moved
    assert not query.has_moved
    across, up = moved.end_x - moved.x, moved.y - query.y
    assert across == pytest.approx(up, abs=0.05)
    for mark in (moved, query):
        assert 0 < mark.x < WIDTH
        assert 0 < mark.y < PLANE_HEIGHT
    assert lay_out_plane([]) == []
