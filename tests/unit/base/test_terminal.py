"""Text from elsewhere, made fit for a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.base.terminal import escape_unprintable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 漢 🙂", "plain é 漢 🙂"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[2J\x07\x7f\x9b", "\\x1b[2J\\x07\\x7f\\x9b"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_would_act_on_is_written_as_an_escape(text, expected):
    assert escape_unprintable(text) == expected


@given(st.text(st.characters()))
def test_any_text_becomes_one_line_that_can_be_encoded(text):
    escaped = escape_unprintable(text)
    assert len(f"{escaped}x".splitlines()) == 1
    assert escaped.encode("utf-8")[:0] == b""
    assert escape_unprintable(escaped) == escaped
