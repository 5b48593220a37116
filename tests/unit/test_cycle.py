"""Any mix of cycle, crash, application write, rollback and resume ends equal to a model.

HYPOTHESIS_PROFILE=long tries a hundred times as many, and longer ones, for an hour or so.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from nudge_sync.store import retry
from tests.support.collection_state_machine import CollectionStateMachine


class InMemory(CollectionStateMachine):
    engine = "memory"


class OnEdge(CollectionStateMachine):
    engine = "qdrant-edge"


@pytest.fixture(autouse=True)
def _retry_without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DELAYS", (0.0,) * 3)
    monkeypatch.setattr(retry, "SWAP_DELAYS", (0.0,) * 3)


def make_settings(examples: int, steps: int) -> settings:
    """Return settings for so many examples of at most so many steps; the long profile has more."""
    is_long = os.environ.get("HYPOTHESIS_PROFILE") == "long"
    return settings(
        max_examples=examples * (100 if is_long else 1),
        stateful_step_count=steps * (2 if is_long else 1),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


TestInMemory = InMemory.TestCase
TestInMemory.settings = make_settings(60, 25)
TestOnEdge = OnEdge.TestCase
TestOnEdge.settings = make_settings(5, 12)
