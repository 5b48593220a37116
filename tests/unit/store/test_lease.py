"""One writer at a time; a process that lost its lease does no harm, wherever it was paused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nudge_sync.errors import LeaseHeld, LeaseLost
from nudge_sync.store import lease
from nudge_sync.testing.faults import When
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.interventions import run_another_cycle, unlock_while_running
from tests.support.paused_writer import PausedWriter
from tests.support.tracked_collection import SETTINGS, TrackedCollection

CALLS = 14
"""How many calls write something, in a change of ten points of which five were moved before."""


class Clock:
    """The clocks of this machine, `ahead` seconds later, as for a process that was stopped."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        instant, now = lease.read_clocks, lease.now_ms
        monkeypatch.setattr(
            lease, "read_clocks", lambda: tuple(clock + self.ahead for clock in instant())
        )
        monkeypatch.setattr(lease, "now_ms", lambda: now() + int(1000 * self.ahead))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def roll_back_and_rewrite(tracked_collection: TrackedCollection) -> None:
    roll_back(tracked_collection.target(), SETTINGS, originals=True)
    tracked_collection.rewrite_vector(3, seed=91)


def resume_and_rewrite(tracked_collection: TrackedCollection) -> None:
    resume(tracked_collection.target(), SETTINGS)
    tracked_collection.rewrite_vector(3, seed=91)


INTERVENTIONS = [run_another_cycle, roll_back_and_rewrite, resume_and_rewrite]


@pytest.mark.parametrize("meanwhile", INTERVENTIONS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(1, CALLS + 1))
def test_who_wakes_after_its_lease_ran_out_does_no_harm(
    tracked_collection: TrackedCollection,
    clock: Clock,
    at: int,
    when: When,
    meanwhile: Callable[[TrackedCollection], None],
) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1, points=5)
    with PausedWriter(
        tracked_collection.database,
        lambda target: tracked_collection.apply_plan(target, 2),
        at,
        when,
    ) as paused:
        clock.ahead += 3600
        meanwhile(tracked_collection)
        live_vector = tracked_collection.read_vectors()[3]
    assert paused.was_paused
    assert tracked_collection.read_vectors()[3].tobytes() == live_vector.tobytes()
    tracked_collection.assert_nothing_is_lost()


@pytest.mark.parametrize("at", range(2, CALLS + 1))
def test_who_is_unlocked_while_it_runs_does_no_harm(
    tracked_collection: TrackedCollection, at: int
) -> None:
    """Its own clock does not tell it: it may go on for a second before it looks."""
    unlock_while_running(tracked_collection, at)


def test_a_lease_that_was_lost_is_noticed_before_the_next_batch(
    tracked_collection: TrackedCollection, clock: Clock
) -> None:
    with PausedWriter(
        tracked_collection.database,
        lambda target: tracked_collection.apply_plan(target, 2),
        10,
        "after",
    ) as paused:
        clock.ahead += 3600
        run_another_cycle(tracked_collection)
    assert isinstance(paused.error, LeaseLost)


def test_a_clock_that_is_behind_waits_and_one_far_ahead_does_no_harm(
    tracked_collection: TrackedCollection, clock: Clock
) -> None:
    with lease.hold_lease(tracked_collection.target(), 30) as first:
        for ahead in (-3600, 0, 20):
            clock.ahead = ahead
            with pytest.raises(LeaseHeld):
                resume(tracked_collection.target(), SETTINGS)
        clock.ahead = 3600
        assert resume(tracked_collection.target(), SETTINGS) is None
        clock.ahead = 0
        with pytest.raises(LeaseLost):
            first.confirm()


def test_a_machine_that_slept_looks_before_it_writes(
    tracked_collection: TrackedCollection, clock: Clock
) -> None:
    with lease.hold_lease(tracked_collection.target(), 30) as first:
        lease.break_lease(tracked_collection.target())
        first.renew()  # It looks into the database once a second at most.
        clock.ahead = 2
        with pytest.raises(LeaseLost):
            first.renew()
