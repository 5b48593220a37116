"""A collection that is dropped and filled anew with text ids, of the digits of its integer ids."""

from __future__ import annotations

import pytest

from nudge_sync import cycle
from nudge_sync.config import WriteSettings
from nudge_sync.connector import Float32
from nudge_sync.store.history import History
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.memory import MemoryDatabase
from nudge_sync.writing.rollback import roll_back
from tests.support.operations.clearing import collect
from tests.support.passing_plan import make_passing_plan
from tests.support.tracked_collection import DIMENSION, POINTS, SETTINGS, TrackedCollection
from tests.support.unit_vectors import make_unit_rows, perturb_rows

TEXT_IDS = [str(point) for point in range(POINTS)]


@pytest.fixture
def refilled(tracked_collection: TrackedCollection) -> TrackedCollection:
    """A collection of text ids, beside the history and the originals of integer ids."""
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    assert isinstance(tracked_collection.database, MemoryDatabase)
    store = tracked_collection.database.store
    store.create("docs", DIMENSION, "cosine", integer_ids=False)
    tracked_collection.originals = make_unit_rows(POINTS, DIMENSION, 9)
    store.upsert("docs", TEXT_IDS, tracked_collection.originals)
    return tracked_collection


def read_vectors(tracked: TrackedCollection) -> Float32:
    return tracked.database.collection("docs").read(TEXT_IDS).vectors


def apply_plan(tracked: TrackedCollection, seed: int) -> None:
    target = tracked.target()
    moved = dict(zip(TEXT_IDS, perturb_rows(tracked.originals, seed), strict=True))
    cycle.apply(target, SETTINGS, make_passing_plan(target, SETTINGS, moved))


def test_the_new_points_are_moved_and_come_back(refilled: TrackedCollection) -> None:
    points = classify_points(refilled.target(), TEXT_IDS)
    assert points.originals.tobytes() == refilled.originals.tobytes()
    assert points.must_add_original.all()
    apply_plan(refilled, seed=2)
    assert verify(refilled.target()).as_written == POINTS
    roll_back(refilled.target(), SETTINGS, originals=True)
    assert read_vectors(refilled).tobytes() == refilled.originals.tobytes()


def test_gc_keeps_what_the_new_points_need(refilled: TrackedCollection) -> None:
    apply_plan(refilled, seed=2)
    refilled.originals[3] = perturb_rows(refilled.originals[[3]], 7)[0]
    assert isinstance(refilled.database, MemoryDatabase)
    refilled.database.store.upsert("docs", ["3"], refilled.originals[[3]])
    apply_plan(refilled, seed=3)
    assert collect(refilled.target(), WriteSettings(keep_revisions=9)) == 0
    roll_back(refilled.target(), SETTINGS, originals=True)
    assert read_vectors(refilled).tobytes() == refilled.originals.tobytes()


def test_history_of_an_id_of_the_other_type_is_not_the_points(
    tracked_collection: TrackedCollection,
) -> None:
    history = History(MemoryDatabase().records("docs__nudge_history", DIMENSION), "history")
    rows = tracked_collection.originals[:2]
    history.add_rows(1, [5, 6], rows, replaced=rows, originals=rows)
    assert list(history.read_records(1, [5, "6"], vectors=False)) == [5]
    assert history.find_latest([1], ["5"], vectors=False) == {}
