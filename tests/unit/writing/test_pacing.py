"""Batches wait for the rate and for an index that falls behind, and a stop is not held up."""

from __future__ import annotations

import time

import pytest

from nudge_sync.config import WriteSettings
from nudge_sync.connector import Health
from nudge_sync.errors import Interrupted, Unreachable
from nudge_sync.testing.memory import MemoryDatabase
from nudge_sync.writing import pacing
from nudge_sync.writing.pacing import Pacer

BEHIND = Health(ready=False, reason="12 segments wait")


class Stages:
    """A progress that keeps the stages it was told, and may change the store at the third."""

    def __init__(self, database: MemoryDatabase, health_at_third: Health | None = None) -> None:
        self.reported: list[str] = []
        self._store = database.store
        self._health_at_third = health_at_third

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.reported.append(stage)
        if len(self.reported) == 3 and self._health_at_third is not None:
            self._store.health = self._health_at_third


@pytest.fixture(autouse=True)
def _poll_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "_POLL_SECONDS", 0.001)


@pytest.fixture
def database() -> MemoryDatabase:
    database = MemoryDatabase()
    database.store.create("docs", 2)
    return database


def make_pacer(database: MemoryDatabase, stages: Stages, **settings: float) -> Pacer:
    return Pacer(database.collection("docs"), WriteSettings(**settings), stages)


def test_without_a_rate_and_with_a_sound_index_nobody_waits(database: MemoryDatabase) -> None:
    stages = Stages(database)
    make_pacer(database, stages).wait(1000)
    assert stages.reported == []


def test_each_batch_waits_until_the_rate_allows_the_one_before(database: MemoryDatabase) -> None:
    stages = Stages(database)
    pacer = make_pacer(database, stages, rate=1000)
    started = time.monotonic()
    for _ in range(3):
        pacer.wait(20)
    assert time.monotonic() - started >= 0.04
    assert set(stages.reported) == {"pause"}


def test_an_index_that_falls_behind_is_waited_for(database: MemoryDatabase) -> None:
    database.store.health = BEHIND
    stages = Stages(database, health_at_third=Health(ready=True))
    make_pacer(database, stages).wait(10)
    assert stages.reported == ["pause"] * 3


def test_an_index_that_does_not_recover_is_said(database: MemoryDatabase) -> None:
    database.store.health = BEHIND
    pacer = make_pacer(database, Stages(database), pause_seconds=0.01)
    with pytest.raises(Unreachable, match=r"0\.01 s \(12 segments wait\).*nudge-sync resume"):
        pacer.wait(10)


def test_a_pause_of_zero_is_none(database: MemoryDatabase) -> None:
    database.store.health = BEHIND
    stages = Stages(database)
    make_pacer(database, stages, pause_seconds=0).wait(10)
    assert stages.reported == []


def test_what_must_be_written_waits_for_an_index_once_and_goes_on(
    database: MemoryDatabase,
) -> None:
    database.store.health = BEHIND
    stages = Stages(database)
    pacer = make_pacer(database, stages, pause_seconds=0.01)
    pacer.wait(10, must_write=True)
    assert pacer.index_behind == BEHIND.reason
    paused = len(stages.reported)
    assert paused > 0
    pacer.wait(10, must_write=True)
    assert len(stages.reported) == paused


def test_a_stop_ends_the_pause(database: MemoryDatabase) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        raise Interrupted

    database.store.health = BEHIND
    with pytest.raises(Interrupted):
        Pacer(database.collection("docs"), WriteSettings(), stop).wait(10)
