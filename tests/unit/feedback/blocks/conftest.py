"""Five days of a log that are over."""

from __future__ import annotations

import pytest

from tests.support.clocked_log import ClockedLog


@pytest.fixture
def clocked() -> ClockedLog:
    made = ClockedLog()
    made.fill()
    return made
