"""What a person takes back stays taken back, whatever runs at the same time or is killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest

from nudge_sync import cycle
from nudge_sync.errors import LeaseHeld, LeaseLost, OnHold, StalePlan
from nudge_sync.store.hold import HoldRequest, place_hold, read_hold, release_hold
from nudge_sync.store.lease import break_lease
from nudge_sync.store.ledger import find_pending_revisions
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.faults import Crash, Faults, FaultyDatabase, When
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.paused_writer import PausedWriter
from tests.support.ram_disk import ram_folder
from tests.support.sample_collection import SETTINGS as SAMPLE_SETTINGS
from tests.support.sample_collection import SampleCollection, open_sample_collection
from tests.support.tracked_collection import SETTINGS, TrackedCollection
from tests.support.unit_vectors import perturb_rows

ANNA = HoldRequest("anna@web1", "worse")
ROLLBACK_CALLS = 13
"""Writing calls of a rollback with a hold: the lease, the hold, the entry, three batches each of
history and rows, the states of two revisions, and the lease again."""


@pytest.fixture(params=["memory", "qdrant-edge", "milvus-lite"])
def tracked(request: pytest.FixtureRequest) -> Iterator[TrackedCollection]:
    """Open a tracked collection on each engine that needs no server."""
    with ram_folder() as path:
        tracked = TrackedCollection(request.param, Path(path), "")
        yield tracked
        tracked.database.close()


class CycleLoop(Thread):
    """A daemon that knows one plan, and carries it out whenever it may."""

    def __init__(self, tracked: TrackedCollection) -> None:
        super().__init__()
        self.tracked = tracked
        self.applied = self.held = 0
        self.stop_requested = Event()

    def run(self) -> None:
        while not self.stop_requested.is_set():
            try:
                self.tracked.apply_plan(self.tracked.target(), seed=1)
                self.applied += 1
            except OnHold:
                self.held += 1
            except (LeaseHeld, LeaseLost, StalePlan):
                continue


def roll_back_as_soon_as_possible(tracked: TrackedCollection) -> None:
    pause = Event()
    for _ in range(2000):
        with suppress(LeaseHeld, LeaseLost):
            roll_back(tracked.target(), SETTINGS, originals=True, hold=ANNA)
            return
        pause.wait(0.01)
    raise AssertionError("the lease never came free")


def wait_for(loop: CycleLoop, *, applied: int = 0, held: int = 0) -> None:
    pause = Event()
    for _ in range(3000):
        if loop.applied >= applied and loop.held >= held:
            return
        pause.wait(0.02)
    raise AssertionError(f"applied {loop.applied} times, on hold {loop.held} times")


def test_no_cycle_writes_again_what_a_person_took_back(tracked: TrackedCollection) -> None:
    loop = CycleLoop(tracked)
    loop.start()
    try:
        for round_number in range(2):
            wait_for(loop, applied=loop.applied + 1)
            roll_back_as_soon_as_possible(tracked)
            for _ in range(2):
                wait_for(loop, held=loop.held + 1)
                assert tracked.read_vectors().tobytes() == tracked.originals.tobytes(), round_number
            release_hold(tracked.target())
    finally:
        loop.stop_requested.set()
        loop.join()
    tracked.assert_nothing_is_lost()


@pytest.mark.parametrize("when", ["before", "half", "after"])
@pytest.mark.parametrize("call", range(1, ROLLBACK_CALLS + 1))
def test_a_rollback_that_is_killed_holds_from_before_its_first_row(
    tracked_collection: TrackedCollection, call: int, when: When
) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    nudged = tracked_collection.read_vectors().tobytes()
    faulty = FaultyDatabase(tracked_collection.database, Faults(call, when))
    with pytest.raises(Crash):
        roll_back(open_target(faulty, "docs"), SETTINGS, originals=True, hold=ANNA)
    break_lease(tracked_collection.target())

    target = tracked_collection.target()
    is_begun = any(entry.kind == "rollback" for entry in target.open_ledger().entries())
    if read_hold(target) is None:
        assert not is_begun
        assert tracked_collection.read_vectors().tobytes() == nudged
        return
    pending = find_pending_revisions(target.open_ledger().entries())
    was_writing = any(entry.state != "planned" for entry in pending)
    live_vectors = tracked_collection.read_vectors().tobytes()
    with pytest.raises(OnHold, match="anna@web1"):
        tracked_collection.apply_plan(tracked_collection.target(), seed=2)
    # The one thing that a cycle still does is what the person asked for.
    originals = tracked_collection.originals.tobytes()
    expected = originals if was_writing else live_vectors
    assert tracked_collection.read_vectors().tobytes() == expected
    assert not find_pending_revisions(tracked_collection.target().open_ledger().entries())
    assert verify(tracked_collection.target()).is_clean


def test_the_last_call_is_the_last(tracked_collection: TrackedCollection) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    faults = Faults()
    faulty = FaultyDatabase(tracked_collection.database, faults)
    roll_back(open_target(faulty, "docs"), SETTINGS, originals=True, hold=ANNA)
    assert len(faults.calls) == ROLLBACK_CALLS


@pytest.mark.parametrize("call", range(1, 9))
def test_a_hold_that_comes_while_a_cycle_plans_and_stages_keeps_it_from_writing(
    tracked_collection: TrackedCollection, call: int
) -> None:
    change = partial(tracked_collection.apply_plan, seed=1)
    with PausedWriter(tracked_collection.database, change, call, "before") as writer:
        assert writer.was_paused
        place_hold(tracked_collection.target(), ANNA)
    assert isinstance(writer.error, OnHold)
    assert tracked_collection.read_vectors().tobytes() == tracked_collection.originals.tobytes()
    release_hold(tracked_collection.target())
    tracked_collection.apply_plan(tracked_collection.target(), seed=2)
    expected = perturb_rows(tracked_collection.originals, 2)
    assert tracked_collection.read_vectors().tobytes() == expected.tobytes()


def test_what_has_begun_to_write_is_finished(tracked_collection: TrackedCollection) -> None:
    change = partial(tracked_collection.apply_plan, seed=1)
    with PausedWriter(tracked_collection.database, change, 11, "before") as writer:
        assert writer.was_paused
        place_hold(tracked_collection.target(), ANNA)
    assert writer.error is None
    expected = perturb_rows(tracked_collection.originals, 1)
    assert tracked_collection.read_vectors().tobytes() == expected.tobytes()
    with pytest.raises(OnHold):
        tracked_collection.apply_plan(tracked_collection.target(), seed=2)


def test_a_half_written_cycle_stays_as_it_is_until_somebody_decides(
    tracked_collection: TrackedCollection,
) -> None:
    faulty = FaultyDatabase(tracked_collection.database, Faults(11, "after"))
    with pytest.raises(Crash):
        tracked_collection.apply_plan(open_target(faulty, "docs"), seed=1)
    break_lease(tracked_collection.target())
    place_hold(tracked_collection.target(), ANNA)
    half_written = tracked_collection.read_vectors().tobytes()
    with pytest.raises(OnHold):
        tracked_collection.apply_plan(tracked_collection.target(), seed=2)
    with pytest.raises(OnHold, match=r"revision 1 stays unfinished.*`nudge-sync rollback` undoes"):
        resume(tracked_collection.target(), SETTINGS)
    assert tracked_collection.read_vectors().tobytes() == half_written
    roll_back(tracked_collection.target(), SETTINGS, hold=ANNA)
    assert tracked_collection.read_vectors().tobytes() == tracked_collection.originals.tobytes()
    assert resume(tracked_collection.target(), SETTINGS) is None


@pytest.fixture
def sample_collection(tmp_path: Path) -> Iterator[SampleCollection]:
    with open_sample_collection("memory", tmp_path) as sample:
        yield sample


def test_a_plan_still_shows_what_would_be_and_release_lets_it_through(
    sample_collection: SampleCollection,
) -> None:
    sample_collection.add_judgements()
    assert cycle.apply(sample_collection.target(), SAMPLE_SETTINGS).outcome == "applied"
    nudged = sample_collection.read_vectors().tobytes()
    report = roll_back(sample_collection.target(), SAMPLE_SETTINGS, originals=True, hold=ANNA)
    assert report.summary()["hold"]["by"] == "anna@web1"
    for _ in range(2):
        with pytest.raises(OnHold):
            cycle.apply(sample_collection.target(), SAMPLE_SETTINGS)
    originals = sample_collection.data.vectors
    assert abs(sample_collection.read_vectors() - originals).max() < 1e-6
    planned = cycle.plan(sample_collection.target(), SAMPLE_SETTINGS)
    assert planned.gate.passed
    assert planned.rows
    released = cycle.apply(sample_collection.target(), SAMPLE_SETTINGS, release=True)
    assert released.outcome == "applied"
    assert sample_collection.read_vectors().tobytes() == nudged
    assert read_hold(sample_collection.target()) is None
