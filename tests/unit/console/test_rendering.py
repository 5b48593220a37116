"""Texts and numbers as pages show them."""

from __future__ import annotations

import time

import pytest

from nudge_sync.console.rendering import (
    MAX_SHOWN_LENGTH,
    UNKNOWN,
    format_ago,
    format_change,
    format_count,
    format_degrees,
    format_moment,
    format_plain,
    format_score,
    format_until,
    get_environment,
)

MINUS = "\N{MINUS SIGN}"


def test_controls_and_marks_of_direction_do_nothing():
    assert format_plain("a\x00b\nc\x9bd") == "a b c d"
    assert format_plain("\u202ecod.exe\u2066") == "\ufffdcod.exe\ufffd"
    # Joiners belong to words of some scripts, and to emoji.
    joined = "\u0645\u06cc\u200c\u062e \U0001f469\u200d\U0001f52c"
    assert format_plain(joined) == joined


def test_a_long_text_is_cut():
    shown = format_plain("x" * 10**6)
    assert len(shown) == MAX_SHOWN_LENGTH + 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.213, "+21.3"), (-0.005, f"{MINUS}0.5"), (0.0, "0.0"), (None, UNKNOWN)),
        *((0.0003, "+0.03"), (-0.0001, f"{MINUS}0.01"), (1e-17, "0.0"), (-1e-17, "0.0")),
    ],
)
def test_changes_have_their_sign(value, text):
    assert format_change(value) == text


def test_numbers():
    assert format_count(1234567) == "1,234,567"
    assert format_score(0.65887) == "0.659"
    assert format_degrees(0.5) == "28.6°"
    assert {format_count(None), format_score(None), format_degrees(None)} == {UNKNOWN}


def test_times():
    assert format_moment(1_777_626_015_000) == "2026-05-01 09:00 UTC"
    assert format_moment(0) == format_moment(10**30) == UNKNOWN
    now = 1000 * time.time()
    assert format_ago(now) == "just now"
    assert format_ago(now - 90_000) == "1 minute ago"
    assert format_ago(now - 3 * 86_400_000) == "3 days ago"
    assert format_until(time.time() + 7300) == "in 2 hours"
    assert format_until(None) == ""


def test_no_template_switches_escaping_off():
    environment = get_environment()
    assert environment.autoescape is True
    for name in environment.list_templates():
        source = environment.loader.get_source(environment, name)[0]
        assert "| safe" not in source, name
        assert "autoescape" not in source, name
        assert " style=" not in source, name
        assert " onclick" not in source, name
        assert "://" not in source, name
