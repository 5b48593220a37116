"""Titles and addresses of points."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.console.titles import MAX_TITLE_LENGTH, PointTitle, is_web_address, read_titles
from nudge_sync.settings.console import ConsoleSettings
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore
from tests.support.unit_vectors import normalise_rows


@pytest.fixture
def target():
    store = MemoryStore()
    store.create("docs", 4)
    payloads = [
        {"title": "A title", "link": "https://example.org/a", "private": "not shown"},
        {"title": "x" * 10_000, "link": "javascript:alert(1)"},
        {"title": None, "link": 7},
        {},
    ]
    store.upsert("docs", range(4), normalise_rows(np.eye(4)), payloads)
    return open_target(MemoryDatabase(store), "docs")


def test_titles_are_read_as_configured(target):
    titles = read_titles(target, ConsoleSettings(title="title", link="link"), [0, 1, 2, 3, 9])
    assert titles[0] == PointTitle("A title", "https://example.org/a")
    assert len(titles[1].text) == MAX_TITLE_LENGTH + 1
    assert titles[1].link == ""
    assert titles[2] == titles[3] == PointTitle("", "")
    assert 9 not in titles


def test_without_fields_nothing_is_read(target):
    assert read_titles(target, ConsoleSettings(), [0]) == {}


@pytest.mark.parametrize(
    ("text", "is_address"),
    [
        ("https://example.org/a?b=c", True),
        ("http://[::1]/", True),
        ("javascript:alert(1)", False),
        ("JaVaScRiPt:alert(1)", False),
        ("data:text/html,x", False),
        ("//example.org", False),
        ("https://", False),
        ("https://[", False),
        ("https://example.org/\n", False),
        ("", False),
    ],
)
def test_only_addresses_of_the_web_are_linked(text, is_address):
    assert is_web_address(text) is is_address
