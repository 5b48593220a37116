"""The conformance kit of feedback sources: it catches every broken one, by the test about it."""

from __future__ import annotations

import pytest

from nudge_sync.testing.memory_source import MemorySource
from nudge_sync.testing.source_conformance import SourceConformance
from tests.support.sources.broken_sources import BROKEN_SOURCES, make_world

TESTS = [name for name in vars(SourceConformance) if name.startswith("test_")]


def passes_test(test: str, kind: type) -> bool:
    """Whether a test of the kit passes for this kind of source."""
    try:
        getattr(SourceConformance(), test)(make_world(kind))
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - any way to fail will do
        return False
    return True


@pytest.mark.parametrize("test", TESTS)
def test_a_sound_source_passes(test):
    assert passes_test(test, MemorySource)


@pytest.mark.parametrize("kind", BROKEN_SOURCES, ids=lambda kind: kind.__name__)
def test_broken_sources_are_caught(kind):
    assert not passes_test(BROKEN_SOURCES[kind], kind)
