"""Whose vector is live: nobody's, the original, one that a revision wrote, or the application's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.errors import DamagedRecord
from nudge_sync.store.provenance import ClassifiedPoints, Ownership, classify_points
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.faults import Faults, FaultyDatabase
from nudge_sync.writing.rollback import roll_back
from tests.support.passing_plan import make_passing_plan
from tests.support.tracked_collection import POINTS, SETTINGS, TrackedCollection
from tests.support.unit_vectors import perturb_rows


def classify(tracked_collection: TrackedCollection) -> ClassifiedPoints:
    return classify_points(tracked_collection.target(), range(POINTS))


def assert_originals(tracked_collection: TrackedCollection, points: ClassifiedPoints) -> None:
    assert points.originals.tobytes() == tracked_collection.originals[points.ids].tobytes()


def test_points_that_never_moved_are_their_own_originals(
    tracked_collection: TrackedCollection,
) -> None:
    points = classify(tracked_collection)
    assert points.ownership == [Ownership.UNMOVED] * POINTS
    assert points.must_add_original.all()
    assert_originals(tracked_collection, points)


def test_each_point_after_a_cycle_and_a_new_embedding(
    tracked_collection: TrackedCollection,
) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1, points=4)
    tracked_collection.rewrite_vector(2, seed=5)
    points = classify(tracked_collection)
    ours, foreign = Ownership.OURS, Ownership.FOREIGN
    assert points.ownership[:4] == [ours, ours, foreign, ours]
    assert points.ownership[4:] == [Ownership.UNMOVED] * (POINTS - 4)
    # What the application wrote is the new original, and not in the shadow yet.
    assert list(np.flatnonzero(points.must_add_original)) == [2, *range(4, POINTS)]
    assert_originals(tracked_collection, points)
    assert list(points.find_rows(foreign, Ownership.UNMOVED)) == [2, *range(4, POINTS)]


def test_points_that_went_back_hold_their_originals(tracked_collection: TrackedCollection) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    roll_back(tracked_collection.target(), SETTINGS, originals=True)
    points = classify(tracked_collection)
    assert points.ownership == [Ownership.ORIGINAL] * POINTS
    assert not points.must_add_original.any()


def test_a_vector_of_an_older_revision_is_ours_too(tracked_collection: TrackedCollection) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    old_vectors = tracked_collection.read_vectors()
    tracked_collection.apply_plan(tracked_collection.target(), seed=2)
    # An application that reads points whole, changes their payload and writes them whole.
    tracked_collection.application.upsert(tracked_collection.database, [6], old_vectors[[6]])
    points = classify(tracked_collection)
    assert points.ownership == [Ownership.OURS] * POINTS
    assert_originals(tracked_collection, points)


def test_a_point_that_is_gone_is_missing(tracked_collection: TrackedCollection) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    tracked_collection.application.delete(tracked_collection.database, [0, 9])
    points = classify(tracked_collection)
    assert points.missing == [0, 9]
    assert points.ids == list(range(1, 9))
    selected = points.select(np.array([2, 0]))
    assert (selected.ids, selected.missing) == ([3, 1], [0, 9])
    assert_originals(tracked_collection, selected)


@pytest.mark.parametrize(
    "read",
    [
        verify,
        lambda target: cycle.plan(target, SETTINGS),
        lambda target: classify_points(target, range(POINTS)),
    ],
    ids=["verify", "plan", "classify"],
)
def test_an_original_that_a_cycle_beside_stores_is_not_gone(
    tracked_collection: TrackedCollection, read: Callable[[Target], object]
) -> None:
    """The cycle runs after the originals were read, and before the points are."""
    tracked_collection.apply_plan(tracked_collection.target(), seed=1, points=POINTS - 1)
    tracked_collection.rewrite_vector(3, seed=5)
    plan = make_passing_plan(
        tracked_collection.target(),
        SETTINGS,
        dict(enumerate(perturb_rows(tracked_collection.originals, 2))),
    )
    faults = Faults(
        1,
        strike=lambda: cycle.apply(tracked_collection.target(), SETTINGS, plan),
        only=frozenset({"read"}),
    )
    read(open_target(FaultyDatabase(tracked_collection.database, faults), "docs"))
    assert faults.calls[0] == "docs.read"
    assert verify(tracked_collection.target()).as_written == POINTS
    tracked_collection.assert_nothing_is_lost()


@pytest.mark.parametrize(
    ("companion", "reason"),
    [
        ("originals", "its original is gone"),
        ("revisions", "is empty although"),
        ("history", "holds nothing of revision 1"),
    ],
)
def test_nothing_is_guessed_where_a_companion_is_gone(
    tracked_collection: TrackedCollection, companion: str, reason: str
) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    tracked_collection.database.records(f"docs__nudge_{companion}", 4).drop()
    with pytest.raises(DamagedRecord, match=reason):
        classify(tracked_collection)
