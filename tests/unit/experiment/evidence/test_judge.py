"""Judging the experiment that runs: from records in a database to a verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nudge_sync.experiment.evidence.judge import judge_experiment
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.store.experiments.running import start_experiment
from nudge_sync.store.target import open_target
from nudge_sync.testing.faults import Faults, FaultyDatabase, disk_full
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore
from tests.support.experiments.visits import log_sessions

DIMENSION, DAY = 4, 86_400.0
SETTINGS = CanarySettings(min_sessions=50, max_days=7)


@pytest.fixture
def target():
    store = MemoryStore()
    store.create("docs", DIMENSION)
    return open_target(MemoryDatabase(store), "docs")


def judge(target, running, days, settings=SETTINGS):
    now = running.started_at / 1000 + days * DAY
    return judge_experiment(target, running, FeedbackSettings(), settings, now=now)


@pytest.mark.parametrize(
    ("preferred", "canary", "holdback"),
    [("treatment", "promote", "continue"), ("control", "harm", "harm")],
)
def test_what_people_prefer_decides(target, preferred, canary, holdback):
    running = start_experiment(target, "canary", 1, 0.2, mode="interleave", rows=2)
    log_sessions(target, running, preferred)
    decision = judge(target, running, 0.5)
    assert decision.verdict == canary
    assert decision.evidence.sessions == 80
    held_back = replace(running, kind="holdback")
    log_sessions(target, held_back, preferred, after=1.0)
    assert judge(target, held_back, 0.5).verdict == holdback


def test_the_mode_it_was_started_with_counts(target):
    running = start_experiment(target, "canary", 1, 0.2, mode="interleave", rows=2)
    log_sessions(target, running, "treatment")
    changed = SETTINGS.model_copy(update={"mode": "split"})
    assert judge(target, running, 0.5, changed).verdict == "promote"


def test_a_holdback_begins_anew_after_each_period(target):
    running = start_experiment(target, "holdback", 1, 0.2, mode="interleave")
    log_sessions(target, running, "control")
    log_sessions(target, running, "treatment", after=7 * DAY + 100, count=60)
    assert judge(target, running, 6).verdict == "harm"
    decision = judge(target, running, 7.5)
    assert decision.verdict == "continue"
    assert decision.evidence.sessions == 60


@pytest.mark.parametrize(("days", "verdict"), [(0.5, "paused"), (8, "inconclusive")])
def test_a_database_that_does_not_answer_pauses(target, days, verdict):
    running = start_experiment(target, "canary", 1, 0.2, mode="interleave", rows=2)
    log_sessions(target, running, "treatment")
    faults = Faults(at=1, strike=disk_full, only=frozenset({"scan"}))
    failing = open_target(FaultyDatabase(target.database, faults), "docs")
    assert judge(failing, running, days).verdict == verdict
    assert faults.calls == ["docs__nudge_queries.scan"]
    assert judge(target, running, 0.5).verdict == "promote"
