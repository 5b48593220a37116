"""`verify` counts every point that was ever moved once, and says what is left to be finished."""

from __future__ import annotations

import pytest

from nudge_sync.base.progress import ignore_progress
from nudge_sync.store.lease import break_lease, hold_lease
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.verify import VerifyReport, verify
from nudge_sync.testing.faults import Crash, Faults, FaultyDatabase
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.tracked_collection import POINTS, SETTINGS, TrackedCollection


def run_verify(tracked_collection: TrackedCollection) -> VerifyReport:
    return verify(tracked_collection.target(), ignore_progress)


def test_nothing_moved_yet(tracked_collection: TrackedCollection) -> None:
    assert run_verify(tracked_collection) == VerifyReport(revision=0)
    assert run_verify(tracked_collection).is_clean


def test_every_point_is_counted_once(tracked_collection: TrackedCollection) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    old_vectors = tracked_collection.read_vectors()
    tracked_collection.apply_plan(tracked_collection.target(), seed=2, points=8)
    database, application = tracked_collection.database, tracked_collection.application
    application.upsert(database, [0], tracked_collection.originals[[0]])
    application.upsert(database, [1], old_vectors[[1]])
    tracked_collection.rewrite_vector(2, seed=3)
    application.delete(database, [3])
    report = run_verify(tracked_collection)
    assert report == VerifyReport(
        revision=2,
        points=POINTS,
        as_written=POINTS - 4,
        original=1,
        behind=1,
        drifted=1,
        missing=1,
    )
    assert not report.is_clean
    assert report.summary()["clean"] is False


def test_an_unfinished_revision_is_pending_until_it_is_resumed(
    tracked_collection: TrackedCollection,
) -> None:
    first_batch = 8
    faults = Faults(first_batch, "after")
    faulty = open_target(FaultyDatabase(tracked_collection.database, faults), "docs")
    with pytest.raises(Crash):
        tracked_collection.apply_plan(faulty, seed=1)
    report = run_verify(tracked_collection)
    assert (report.pending, report.is_clean) == (1, False)
    assert "process" in report.holder
    break_lease(tracked_collection.target())
    resume(tracked_collection.target(), SETTINGS)
    report = run_verify(tracked_collection)
    assert (report.pending, report.holder, report.is_clean) == (0, "", True)


def test_the_holder_of_the_lease_is_said(tracked_collection: TrackedCollection) -> None:
    with hold_lease(tracked_collection.target(), 30):
        assert run_verify(tracked_collection).holder
    assert run_verify(tracked_collection).holder == ""


def test_after_a_rollback_everything_is_original(tracked_collection: TrackedCollection) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    roll_back(tracked_collection.target(), SETTINGS)
    report = run_verify(tracked_collection)
    assert (report.revision, report.points, report.original) == (0, POINTS, POINTS)
