"""Clocks of other machines that run ahead, and are set right."""

from __future__ import annotations

import time

import pytest

from nudge_sync.canary.by_hand import promote, stop
from nudge_sync.canary.start import run_cycle, start
from nudge_sync.canary.status import read_status
from nudge_sync.errors import AwaitsCanary
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.store.experiments.ending import Ending
from tests.support.sample_collection import SETTINGS as SAMPLE_SETTINGS

DAY = 86_400.0
SETTINGS = SAMPLE_SETTINGS.model_copy(update={"canary": CanarySettings(share=1.0, retry_days=7)})


def end_canary(sample, *, ended, began=0.0):
    """Start a canary and stop it, as by a clock that is so many days ahead."""
    start(sample.target(), SETTINGS)
    stop(sample.target(), SETTINGS, "anna", "no")
    ledger = sample.target().open_ledger()
    entry = ledger.entries()[-1]
    now = time.time()
    ledger.add_details(
        entry,
        ending=Ending("stopped", "no", int((now + ended * DAY) * 1000)),
        candidate_at=int((now + began * DAY) * 1000),
    )


@pytest.mark.parametrize(
    ("ended", "began", "left"),
    [(30, -2, r"5\.0"), (30, 0, r"7\.0"), (0.02, -3, r"7\.0"), (-1, -3, r"6\.0")],
)
def test_the_pause_is_never_longer_than_retry_days(sample, ended, began, left):
    end_canary(sample, ended=ended, began=began)
    with pytest.raises(AwaitsCanary, match=rf"starts in {left} days"):
        run_cycle(sample.target(), SETTINGS)


@pytest.mark.parametrize(("ended", "began"), [(30, -8), (30, 20), (-8, -20)])
def test_a_pause_that_is_over_keeps_none_from_starting(sample, ended, began):
    end_canary(sample, ended=ended, began=began)
    assert run_cycle(sample.target(), SETTINGS).outcome == "candidate"


def test_the_canary_that_began_last_is_the_one_that_ended_last(sample):
    end_canary(sample, ended=30)
    start(sample.target(), SETTINGS)
    assert promote(sample.target(), SETTINGS, "ben").step == "promoted"
    last = read_status(sample.target(), SETTINGS, now=time.time()).last
    assert (last.number, last.details.ending.by) == (2, "ben")
    assert run_cycle(sample.target(), SETTINGS).outcome == "unchanged"
