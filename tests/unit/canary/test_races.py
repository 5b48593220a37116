"""Somebody else is faster between what a review has read and the lease that it takes."""

from __future__ import annotations

import pytest

from nudge_sync import cycle
from nudge_sync.canary.by_hand import stop
from nudge_sync.canary.review import review
from nudge_sync.canary.start import start
from nudge_sync.canary.status import read_status
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.store.experiments.running import read_running_experiment
from nudge_sync.store.hold import read_hold
from nudge_sync.store.lease import break_lease
from nudge_sync.store.ledger import find_head
from nudge_sync.store.target import open_target
from nudge_sync.testing.faults import Crash, Faults, FaultyDatabase
from tests.support.experiments.visits import log_sessions
from tests.support.sample_collection import SETTINGS as SAMPLE_SETTINGS

HALF_A_DAY = 43_200.0
LOG_SCAN = "docs__nudge_queries.scan"
CANARY = CanarySettings(share=1.0, holdback_share=0.05, min_sessions=50, max_days=3)
SETTINGS = SAMPLE_SETTINGS.model_copy(update={"canary": CANARY})


@pytest.fixture
def harmful(sample):
    """A holdback of revision 1, which harms."""
    cycle.apply(sample.target(), SETTINGS)
    assert review(sample.target(), SETTINGS).step == "held back"
    running = read_running_experiment(sample.target())
    log_sessions(sample.target(), running, "control")
    return running


def review_while(sample, running, meanwhile):
    """Review the experiment, and do something else just as the review reads its log."""
    now = running.started_at / 1000 + HALF_A_DAY
    reads = Faults(only=frozenset({"scan"}))
    read_status(open_target(FaultyDatabase(sample.database, reads), "docs"), SETTINGS, now=now)
    at = reads.calls.index(LOG_SCAN) + 1
    faults = Faults(at, strike=meanwhile, only=frozenset({"scan"}))
    target = open_target(FaultyDatabase(sample.database, faults), "docs")
    return review(target, SETTINGS, now=now)


def test_a_stop_that_was_killed_while_the_review_read_is_not_overruled(sample):
    def stop_and_die():
        dying = FaultyDatabase(sample.database, Faults(at=2, when="after"))
        with pytest.raises(Crash):
            stop(open_target(dying, "docs"), SETTINGS, "anna", "a feeling")
        break_lease(sample.target())

    start(sample.target(), SETTINGS)
    running = read_running_experiment(sample.target())
    log_sessions(sample.target(), running, "treatment")
    report = review_while(sample, running, stop_and_die)
    assert report.status.decision.verdict == "promote"
    assert (report.step, report.reason) == ("ended", "a feeling")
    assert sample.read_vectors().tobytes() == sample.data.vectors.tobytes()


def test_a_holdback_takes_back_no_revision_that_it_did_not_measure(sample, harmful):
    def write_another():
        sample.add_judgements(range(100))
        assert cycle.apply(sample.target(), SETTINGS).outcome == "applied"
        written.append(sample.read_vectors().tobytes())

    written = []
    report = review_while(sample, harmful, write_another)
    assert (report.status.decision.verdict, report.step) == ("harm", "none")
    assert sample.read_vectors().tobytes() == written[0]
    assert find_head(sample.target().open_ledger().entries()) == 2
    assert read_hold(sample.target()) is None


def test_a_holdback_that_was_ended_meanwhile_takes_nothing_back(sample, harmful):
    def begin_anew():
        stop(sample.target(), SETTINGS, "anna")
        assert review(sample.target(), SETTINGS).step == "held back"

    before = sample.read_vectors().tobytes()
    assert review_while(sample, harmful, begin_anew).step == "none"
    assert sample.read_vectors().tobytes() == before
    assert read_hold(sample.target()) is None
    running = read_running_experiment(sample.target())
    assert (running.revision, running == harmful) == (1, False)
