"""A rollback gives every bit back, goes one step further each time, and leaves what is not ours."""

from __future__ import annotations

import pytest

from nudge_sync.errors import InputError
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.writing.rollback import roll_back
from tests.support.tracked_collection import POINTS, SETTINGS, TrackedCollection


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


def test_without_any_revision_there_is_nothing_to_do(
    tracked_collection: TrackedCollection,
) -> None:
    report = roll_back(tracked_collection.target(), SETTINGS)
    assert (report.revision, report.points) == (None, 0)
    assert tracked_collection.target().open_ledger().entries() == []
