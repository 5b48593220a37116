"""A rollback gives every bit back, goes one step further each time, and leaves what is not ours."""

from __future__ import annotations

import pytest

from nudge_sync import cycle
from nudge_sync.connector import Health
from nudge_sync.errors import InputError
from nudge_sync.store.hold import HoldRequest, read_hold
from nudge_sync.store.lease import break_lease
from nudge_sync.store.ledger import find_pending_revisions
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.faults import Crash, Faults, FaultyDatabase, When
from nudge_sync.writing import pacing
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import find_last_revision, roll_back
from tests.support.passing_plan import make_passing_plan
from tests.support.tracked_collection import POINTS, SETTINGS, TrackedCollection
from tests.support.unit_vectors import perturb_rows

ROLLBACK_CALLS = 12
"""Writing calls of a rollback with a hold, up to the one that stores it as applied."""
LOST_CYCLE_CALLS = 22
"""Writing calls of a cycle whose change is a loss, up to the one that stores its rollback as
applied."""


@pytest.fixture
def states(tracked_collection: TrackedCollection) -> list[bytes]:
    """What the collection held at revisions 0 to 3."""
    states = [tracked_collection.read_vectors().tobytes()]
    for seed in (1, 2, 3):
        tracked_collection.apply_plan(tracked_collection.target(), seed)
        states.append(tracked_collection.read_vectors().tobytes())
    return states


def test_each_rollback_goes_one_revision_further_back(
    tracked_collection: TrackedCollection, states: list[bytes]
) -> None:
    for head in (2, 1, 0):
        report = roll_back(tracked_collection.target(), SETTINGS)
        assert (report.head, report.restored, report.identical) == (head, POINTS, POINTS)
        assert tracked_collection.read_vectors().tobytes() == states[head]
    report = roll_back(tracked_collection.target(), SETTINGS)
    assert (report.head, report.revision, report.restored) == (0, None, 0)


@pytest.mark.parametrize("to", [1, 2, 3])
def test_any_kept_revision_can_be_reached_also_forward(
    tracked_collection: TrackedCollection, states: list[bytes], to: int
) -> None:
    assert roll_back(tracked_collection.target(), SETTINGS, originals=True).head == 0
    assert tracked_collection.read_vectors().tobytes() == states[0]
    assert roll_back(tracked_collection.target(), SETTINGS, to=to).identical == POINTS
    assert tracked_collection.read_vectors().tobytes() == states[to]
    assert verify(tracked_collection.target()).is_clean


@pytest.mark.usefixtures("states")
def test_a_revision_that_is_not_kept_is_refused(tracked_collection: TrackedCollection) -> None:
    live_vectors = tracked_collection.read_vectors().tobytes()
    with pytest.raises(InputError, match="revision 7 is not kept; kept are: 1, 2, 3"):
        roll_back(tracked_collection.target(), SETTINGS, to=7)
    assert tracked_collection.read_vectors().tobytes() == live_vectors


def test_points_of_the_application_are_left_alone_and_named(
    tracked_collection: TrackedCollection,
) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    tracked_collection.rewrite_vector(4, seed=2)
    tracked_collection.application.delete(tracked_collection.database, [0])
    report = roll_back(tracked_collection.target(), SETTINGS)
    assert (report.points, report.restored, report.identical) == (POINTS, POINTS - 2, POINTS - 2)
    summary = report.summary()
    assert (summary["drifted_ids"], summary["missing_ids"]) == ([4], [0])
    expected = tracked_collection.originals[1:]
    assert tracked_collection.read_vectors().tobytes() == expected.tobytes()


def test_another_revision_than_the_one_agreed_on_is_not_taken_back(
    tracked_collection: TrackedCollection, states: list[bytes]
) -> None:
    target = tracked_collection.target()
    last = find_last_revision(target.open_ledger().entries())
    assert roll_back(target, SETTINGS, last=last, hold=HoldRequest("anna")).head == 2
    with pytest.raises(InputError, match=f"no longer {last}, whose rollback was confirmed"):
        roll_back(tracked_collection.target(), SETTINGS, last=last, hold=HoldRequest("bob"))
    assert tracked_collection.read_vectors().tobytes() == states[2]
    hold = read_hold(tracked_collection.target())
    assert hold is not None
    assert hold.by == "anna"


def test_without_any_revision_there_is_nothing_to_do(
    tracked_collection: TrackedCollection,
) -> None:
    report = roll_back(tracked_collection.target(), SETTINGS)
    assert (report.revision, report.points) == (None, 0)
    assert tracked_collection.target().open_ledger().entries() == []


@pytest.mark.parametrize("when", ["before", "half", "after"])
@pytest.mark.parametrize("call", range(1, ROLLBACK_CALLS + 1))
def test_a_rollback_that_is_killed_is_finished_by_the_same_command(
    tracked_collection: TrackedCollection, states: list[bytes], call: int, when: When
) -> None:
    hold = HoldRequest("anna@web1", "worse")
    faulty = FaultyDatabase(tracked_collection.database, Faults(call, when))
    with pytest.raises(Crash):
        roll_back(open_target(faulty, "docs"), SETTINGS, hold=hold)
    break_lease(tracked_collection.target())
    last = tracked_collection.target().open_ledger().entries()[-1]
    if (last.kind, last.state) != ("rollback", "applied"):
        assert roll_back(tracked_collection.target(), SETTINGS, hold=hold).head == 2
    assert tracked_collection.read_vectors().tobytes() == states[2]
    assert not find_pending_revisions(tracked_collection.target().open_ledger().entries())
    assert verify(tracked_collection.target()).is_clean


@pytest.mark.parametrize("when", ["before", "half", "after"])
@pytest.mark.parametrize("call", range(1, LOST_CYCLE_CALLS + 1))
def test_no_rollback_brings_back_a_loss_wherever_its_cycle_was_killed(
    tracked_collection: TrackedCollection, states: list[bytes], call: int, when: When
) -> None:
    rows = perturb_rows(tracked_collection.originals, 4)
    faulty = open_target(FaultyDatabase(tracked_collection.database, Faults(call, when)), "docs")
    plan = make_passing_plan(faulty, SETTINGS, dict(enumerate(rows)), worsens=True)
    with pytest.raises(Crash):
        cycle.apply(faulty, SETTINGS, plan)
    break_lease(tracked_collection.target())
    pending = find_pending_revisions(tracked_collection.target().open_ledger().entries())
    is_unfinished = any(entry.state != "planned" for entry in pending)
    # Where the loss was never written, or taken back already, the last revision is the third.
    goal = 3 if is_unfinished else 2
    assert roll_back(tracked_collection.target(), SETTINGS).head == goal
    assert tracked_collection.read_vectors().tobytes() == states[goal]
    assert verify(tracked_collection.target()).is_clean


def test_the_last_calls_are_the_last(
    tracked_collection: TrackedCollection, states: list[bytes]
) -> None:
    faults = Faults()
    target = open_target(FaultyDatabase(tracked_collection.database, faults), "docs")
    rows = perturb_rows(tracked_collection.originals, 4)
    plan = make_passing_plan(target, SETTINGS, dict(enumerate(rows)), worsens=True)
    assert cycle.apply(target, SETTINGS, plan).outcome == "rolled_back"
    assert tracked_collection.read_vectors().tobytes() == states[3]
    # Garbage collection, and the lease, which is given back.
    assert faults.calls[LOST_CYCLE_CALLS:][-2:] == [
        "docs__nudge_candidate.drop",
        "docs__nudge_revisions.swap",
    ]
    faults.calls.clear()
    roll_back(target, SETTINGS, hold=HoldRequest("anna@web1", "worse"))
    assert faults.calls[ROLLBACK_CALLS:] == ["docs__nudge_revisions.swap"]


@pytest.mark.parametrize("pause_seconds", [0, 0.01])
@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_rollback_goes_through_although_the_index_does_not_keep_up(
    tracked_collection: TrackedCollection,
    states: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    pause_seconds: float,
    is_resumed: bool,
) -> None:
    monkeypatch.setattr(pacing, "_POLL_SECONDS", 0.001)
    write = SETTINGS.write.model_copy(update={"pause_seconds": pause_seconds})
    settings = SETTINGS.model_copy(update={"write": write})
    behind = Health(ready=False, reason="12 segments wait")
    monkeypatch.setattr(tracked_collection.application.store, "health", behind)
    if is_resumed:
        faulty = FaultyDatabase(tracked_collection.database, Faults(8, "after"))
        with pytest.raises(Crash):
            roll_back(open_target(faulty, "docs"), settings)
        break_lease(tracked_collection.target())
        resume(tracked_collection.target(), settings)
    else:
        report = roll_back(tracked_collection.target(), settings)
        assert report.summary()["index_behind"] == (behind.reason if pause_seconds else "")
    assert tracked_collection.read_vectors().tobytes() == states[2]
    assert verify(tracked_collection.target()).is_clean
