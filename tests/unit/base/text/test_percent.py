"""A share is shown short, and never as none, as all, or as its limit where it is not."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.base.text.percent import (
    format_exact_percent,
    format_number,
    format_percent,
    format_points,
)

SHARES = st.floats(0, 1)


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [
        (0.1234567, 0, "12%"),
        (0.1234567, 1, "12.3%"),
        (0.0, 0, "0%"),
        (0.0, 1, "0.0%"),
        (1.0, 0, "100%"),
        (0.01, 0, "1%"),
        (0.004, 0, "0.4%"),
        (0.006, 0, "0.6%"),
        (0.0004, 0, "0.04%"),
        (0.0004, 1, "0.04%"),
        (0.00001, 1, "0.001%"),
        (0.996, 0, "99.6%"),
        (0.99996, 1, "99.996%"),
    ],
)
def test_a_measured_share_is_short_and_neither_none_nor_all(share, decimals, text):
    assert format_percent(share, decimals) == text


@given(SHARES)
def test_no_share_reads_as_none_or_all_that_is_not(share):
    shown = float(format_percent(share).removesuffix("%")) / 100
    if 1e-7 < share < 1 - 1e-7:
        assert 0 < shown < 1
    assert abs(shown - share) <= 0.005 + 1e-9


@pytest.mark.parametrize(
    ("share", "limit", "texts"),
    [
        (0.00045, 0.0004, ("0.045%", "0.04%")),
        (0.1004, 0.1, ("10.04%", "10%")),
        (0.0999, 0.1, ("9.99%", "10%")),
        (0.1245, 0.124, ("12.45%", "12.4%")),
        (0.5, 0.1, ("50%", "10%")),
        (0.1, 0.1, ("10%", "10%")),
    ],
)
def test_a_share_can_be_told_from_its_limit(share, limit, texts):
    assert (format_percent(share, limit=limit), format_exact_percent(limit)) == texts


@pytest.mark.parametrize(
    ("share", "text"),
    [
        *((0.95, "95%"), (0.9, "90%"), (0.975, "97.5%"), (0.995, "99.5%"), (0.999, "99.9%")),
        *((0.99999, "99.999%"), (0.004, "0.4%"), (0.125, "12.5%"), (0.07, "7%"), (0.29, "29%")),
        *((1e-7, "0.00001%"), (1 / 3, "33.3333%"), (0.0, "0%"), (1.0, "100%")),
    ],
)
def test_what_was_set_is_shown_as_it_was_set(share, text):
    assert format_exact_percent(share) == text


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        *((0.0, 4, "0.0000"), (0.12345, 4, "0.1235"), (0.00003, 4, "0.00003")),
        *((-0.00002, 4, "-0.00002"), (3e-9, 4, "3e-09"), (-0.0, 2, "0.00"), (1234.5, 1, "1234.5")),
        *((float("inf"), 2, "inf"), (float("nan"), 2, "nan")),
    ],
)
def test_a_small_number_keeps_a_digit(value, decimals, text):
    assert format_number(value, decimals) == text


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        *((0.213, "+21.3"), (-0.005, "-0.5"), (0.0003, "+0.03"), (0.0004, "+0.04")),
        *((-0.000012, "-0.001"), (1e-17, "+0.0"), (-1e-17, "+0.0"), (0.0, "+0.0")),
    ],
)
def test_a_difference_is_shown_in_points(difference, text):
    assert format_points(difference, 1) == text


def test_nobody_rounds_a_share_by_hand():
    package = files("nudge_sync")
    sources = [path for end in ("py", "j2") for path in Path(str(package)).rglob(f"*.{end}")]
    assert len(sources) > 100
    by_hand = re.compile(r":[+z]*\.[0-9]+%\}|%\.[0-9]+f\" \| format\(100 \* [^}]*\}\} ?%")
    found = [path.name for path in sources if by_hand.search(path.read_text(encoding="utf-8"))]
    assert found == []
