"""One writer at a time; and whoever lost its lease does no harm, wherever it was paused."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier, Thread

import pytest

from nudge_sync.errors import LeaseHeld, LeaseLost
from nudge_sync.store import lease
from nudge_sync.store.target import open_target
from nudge_sync.testing.faults import When
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.paused_writer import PausedWriter
from tests.support.ram_disk import ram_folder
from tests.support.tracked_collection import SETTINGS, TrackedCollection

ENGINES = ["qdrant-edge", pytest.param("milvus", marks=pytest.mark.milvus_server)]
CALLS = 14
"""How many calls of a change of ten points write something, five of them moved before."""


@pytest.fixture
def tracked_collection(tmp_path: Path) -> Iterator[TrackedCollection]:
    tracked = TrackedCollection("memory", tmp_path, "")
    yield tracked
    tracked.database.close()


@pytest.fixture(params=ENGINES)
def any_tracked_collection(request: pytest.FixtureRequest) -> Iterator[TrackedCollection]:
    server = request.getfixturevalue("milvus_server_uri") if request.param == "milvus" else ""
    with ram_folder() as path:
        tracked = TrackedCollection(request.param, path, server)
        yield tracked
        tracked.database.close()


class Clock:
    """Time that goes on while a process is stopped."""

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


def run_another_cycle(tracked_collection: TrackedCollection) -> None:
    resume(tracked_collection.target(), SETTINGS)
    tracked_collection.rewrite_vector(3, seed=91)
    tracked_collection.apply_plan(tracked_collection.target(), seed=92)


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
    """Nothing says that the time is up: it may go on for a second."""
    unlock_while_running(tracked_collection, at)


def test_the_same_on_real_engines(any_tracked_collection: TrackedCollection) -> None:
    unlock_while_running(any_tracked_collection, 10)


def unlock_while_running(tracked_collection: TrackedCollection, call: int) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1, points=5)
    with PausedWriter(
        tracked_collection.database,
        lambda target: tracked_collection.apply_plan(target, 2),
        call,
        "before",
    ):
        assert lease.break_lease(tracked_collection.target()) is not None
        run_another_cycle(tracked_collection)
        live_vector = tracked_collection.read_vectors()[3]
    assert tracked_collection.read_vectors()[3].tobytes() == live_vector.tobytes()
    tracked_collection.assert_nothing_is_lost()


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


def test_two_at_once(any_tracked_collection: TrackedCollection) -> None:
    """Of many that ask at the same moment one gets it."""
    held, refused, barrier = [], [], Barrier(6)

    def ask() -> None:
        ledger = any_tracked_collection.target()
        barrier.wait()
        try:
            with lease.hold_lease(ledger, 30) as mine:
                held.append(mine.generation)
                barrier.wait()
        except LeaseHeld:
            refused.append(1)
            barrier.wait()

    threads = [Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) in {(1, 5), (0, 6)}
    with lease.hold_lease(any_tracked_collection.target(), 30):
        pass


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
    """Its own clock stood still, and so did the one that counts while it sleeps."""
    with lease.hold_lease(tracked_collection.target(), 30) as first:
        lease.break_lease(tracked_collection.target())
        first.renew()  # within a second it does not look
        clock.ahead = 2
        with pytest.raises(LeaseLost):
            first.renew()


def test_who_holds_it_is_said_and_can_be_overruled(
    any_tracked_collection: TrackedCollection,
) -> None:
    ledger = any_tracked_collection.target()
    with lease.hold_lease(ledger, 30):
        said = lease.read_active_lease(ledger).describe()
        assert f"process {os.getpid()}" in said
        with pytest.raises(LeaseHeld, match=f"process {os.getpid()}"):
            resume(any_tracked_collection.target(), SETTINGS)
        assert lease.break_lease(ledger).describe() == said
        assert lease.read_active_lease(ledger) is None
    assert lease.break_lease(ledger) is None


def _take_and_die(section: dict[str, str]) -> None:
    from nudge_sync_qdrant_edge import connect  # noqa: PLC0415

    target = open_target(connect(section), "docs")
    with lease.hold_lease(target, 3600):
        os._exit(9)


def test_the_lease_of_a_dead_process_is_free_at_once(tmp_path: Path) -> None:
    made = TrackedCollection("qdrant-edge", tmp_path, "")
    made.database.close()
    process = multiprocessing.get_context("forkserver").Process(
        target=_take_and_die, args=({"path": str(tmp_path)},)
    )
    process.start()
    process.join()
    assert process.exitcode == 9
    made.database = made.application.connect()
    assert lease.read_active_lease(made.target()) is None
    assert resume(made.target(), SETTINGS) is None
    made.database.close()
