"""When tracebacks are asked for."""

from __future__ import annotations

import pytest

from nudge_sync.base.debug import format_logged_error, is_debug_mode
from nudge_sync.errors import Unreachable


@pytest.mark.parametrize(
    ("value", "expected"), [("", False), ("0", False), ("1", True), ("yes", True)]
)
def test_anything_but_nothing_and_0_asks_for_tracebacks(value, expected, monkeypatch):
    monkeypatch.setenv("NUDGE_SYNC_DEBUG", value)
    assert is_debug_mode() is expected


def test_unless_asked_for_there_are_none(monkeypatch):
    monkeypatch.delenv("NUDGE_SYNC_DEBUG", raising=False)
    assert not is_debug_mode()


def test_only_messages_of_our_own_are_logged():
    assert format_logged_error(Unreachable("http://db")) == "Unreachable: http://db"
    assert format_logged_error(KeyError("https://user:secret@db")) == "KeyError"
