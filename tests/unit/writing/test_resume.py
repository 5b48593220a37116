"""After a crash at any call, `resume` leaves all rows as before the change, or all as after it."""

from __future__ import annotations

import pytest

from nudge_sync.store.lease import break_lease
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.faults import Crash, Faults, FaultyDatabase, When
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.tracked_collection import SETTINGS, TrackedCollection
from tests.support.unit_vectors import perturb_rows

COMMITTING_CALL = 9
"""After the lease, the entry, and three batches each of originals and history: the state "writing",
from which on the change is finished. Then come three batches of rows."""
LAST_CALL = 12


def crash_while_applying(
    tracked_collection: TrackedCollection, call: int, when: When = "before"
) -> None:
    """Begin a change of all points that ends at one of its writing calls, as with the process."""
    faulty = FaultyDatabase(tracked_collection.database, Faults(call, when))
    with pytest.raises(Crash):
        tracked_collection.apply_plan(open_target(faulty, "docs"), seed=1)
    break_lease(tracked_collection.target())


@pytest.mark.parametrize("when", ["before", "half", "after"])
@pytest.mark.parametrize("call", range(1, LAST_CALL + 1))
def test_all_or_nothing(tracked_collection: TrackedCollection, call: int, when: When) -> None:
    crash_while_applying(tracked_collection, call, when)
    result = resume(tracked_collection.target(), SETTINGS)
    after = perturb_rows(tracked_collection.originals, 1)
    is_done = result is not None and result["state"] == "applied"
    expected = after if is_done else tracked_collection.originals
    assert tracked_collection.read_vectors().tobytes() == expected.tobytes()
    # Half of a single record is the whole of it.
    assert is_done == (call > COMMITTING_CALL or (call == COMMITTING_CALL and when != "before"))
    assert verify(tracked_collection.target()).is_clean
    assert resume(tracked_collection.target(), SETTINGS) is None
    tracked_collection.assert_nothing_is_lost()


def test_what_was_only_staged_is_abandoned_with_its_history(
    tracked_collection: TrackedCollection,
) -> None:
    crash_while_applying(tracked_collection, COMMITTING_CALL - 1)
    result = resume(tracked_collection.target(), SETTINGS)
    assert result is not None
    assert (result["revision"], result["state"]) == (1, "abandoned")
    assert tracked_collection.target().history.records.count() == 0


def test_what_the_application_wrote_meanwhile_is_left(
    tracked_collection: TrackedCollection,
) -> None:
    crash_while_applying(tracked_collection, LAST_CALL)
    tracked_collection.rewrite_vector(9, seed=2)
    result = resume(tracked_collection.target(), SETTINGS)
    assert result is not None
    assert (result["state"], result["drifted"]) == ("applied", 1)
    live_vectors = tracked_collection.read_vectors()
    assert live_vectors[9].tobytes() == tracked_collection.originals[9].tobytes()
    tracked_collection.assert_nothing_is_lost()


def test_a_rollback_takes_over_what_is_half_written(
    tracked_collection: TrackedCollection,
) -> None:
    crash_while_applying(tracked_collection, LAST_CALL)
    report = roll_back(tracked_collection.target(), SETTINGS)
    assert report.head == 0
    assert tracked_collection.read_vectors().tobytes() == tracked_collection.originals.tobytes()
    states = [entry.state for entry in tracked_collection.target().open_ledger().entries()]
    assert states == ["superseded", "applied"]


def test_there_is_nothing_to_resume_after_a_whole_change(
    tracked_collection: TrackedCollection,
) -> None:
    assert resume(tracked_collection.target(), SETTINGS) is None
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    assert resume(tracked_collection.target(), SETTINGS) is None
