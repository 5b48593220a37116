"""Any mix of cycle, crash, application write, rollback and resume ends equal to a model."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from machine import Machine

from nudge_sync import patience


class InMemory(Machine):
    engine = "memory"


class OnEdge(Machine):
    engine = "qdrant-edge"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "DELAYS", (0.0,) * 3)
    monkeypatch.setattr(patience, "SWAP_DELAYS", (0.0,) * 3)


TestInMemory = InMemory.TestCase
TestInMemory.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestOnEdge = OnEdge.TestCase
TestOnEdge.settings = settings(
    max_examples=5,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
