"""Staging touches nothing of the application's; committing writes each row or leaves it alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from threading import Barrier

import numpy as np
import pytest

from nudge_sync.base.progress import ignore_progress
from nudge_sync.config import CollectionSettings, WriteSettings
from nudge_sync.connector import Collection, Float32, PointId, Points, WriteReport
from nudge_sync.errors import (
    DamagedRecord,
    DatabaseError,
    LeaseHeld,
    LeaseLost,
    UnsupportedCollection,
)
from nudge_sync.store.lease import break_lease, hold_lease
from nudge_sync.store.ledger import Revision, find_pending_revisions
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.retry import RetryingCollection
from nudge_sync.writing.two_phase import (
    Writer,
    WriteSet,
    commit,
    open_writer,
    roll_forward,
    stage,
    supersede_older_revisions,
    write_revision,
)
from tests.support.tracked_collection import POINTS, SETTINGS, TrackedCollection
from tests.support.unit_vectors import make_unit_rows

ROWS = make_unit_rows(POINTS, 4, 100)


@pytest.fixture
def writer(tracked_collection: TrackedCollection) -> Iterator[Writer]:
    with open_writer(tracked_collection.target(), SETTINGS, ignore_progress) as writer:
        yield writer


def make_write_set(writer: Writer, count: int = POINTS) -> WriteSet:
    return WriteSet.build(classify_points(writer.target, range(count)), ROWS[:count])


def add_entry(writer: Writer, write_set: WriteSet) -> Revision:
    return writer.ledger.add_entry("apply", 0, None, {"rows": len(write_set)})


def test_a_write_set_comes_in_batches(writer: Writer) -> None:
    batches = list(make_write_set(writer).batches(4))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert [point for batch in batches for point in batch.ids] == list(range(POINTS))
    assert np.concatenate([batch.vectors for batch in batches]).tobytes() == ROWS.tobytes()


def test_staging_keeps_all_that_is_needed_and_writes_nothing(
    tracked_collection: TrackedCollection, writer: Writer
) -> None:
    write_set = make_write_set(writer)
    entry = add_entry(writer, write_set)
    stage(writer, entry, write_set)
    assert tracked_collection.read_vectors().tobytes() == tracked_collection.originals.tobytes()
    assert writer.target.shadow.read_originals().keys() == set(range(POINTS))
    assert writer.target.history.read_keys(entry.number).keys() == set(range(POINTS))


def test_committing_leaves_what_the_application_wrote_or_deleted(
    tracked_collection: TrackedCollection, writer: Writer
) -> None:
    write_set = make_write_set(writer)
    stage(writer, add_entry(writer, write_set), write_set)
    tracked_collection.rewrite_vector(2, seed=1)
    tracked_collection.application.delete(tracked_collection.database, [9])
    tally = commit(writer, write_set)
    assert (tally.written, tally.drifted, tally.missing) == (POINTS - 2, [2], [9])
    live_vectors = tracked_collection.read_vectors()
    assert live_vectors[2].tobytes() == tracked_collection.originals[2].tobytes()
    assert np.delete(live_vectors, 2, 0).tobytes() == np.delete(ROWS[:9], 2, 0).tobytes()


def test_a_revision_is_written_with_its_counts(writer: Writer) -> None:
    write_set = make_write_set(writer, 6)
    entry, tally = write_revision(writer, add_entry(writer, write_set), write_set)
    assert (entry.state, entry.details.written, tally.written) == ("written", 6, 6)
    assert writer.ledger.read_entry(entry.number) == entry


def test_rolling_forward_repeats_the_commit_from_history_alone(
    tracked_collection: TrackedCollection, writer: Writer
) -> None:
    write_set = make_write_set(writer)
    entry = add_entry(writer, write_set)
    stage(writer, entry, write_set)
    entry = writer.ledger.set_state(entry, "writing")
    commit(writer, next(write_set.batches(4)))
    tracked_collection.rewrite_vector(7, seed=1)
    tracked_collection.application.delete(tracked_collection.database, [9])
    finished, tally = roll_forward(writer, entry)
    assert finished.state == "written"
    assert (tally.written, tally.drifted, tally.missing) == (POINTS - 2, [7], [9])
    live_vectors = tracked_collection.read_vectors()
    assert live_vectors[7].tobytes() == tracked_collection.originals[7].tobytes()
    assert np.delete(live_vectors, 7, 0).tobytes() == np.delete(ROWS[:9], 7, 0).tobytes()


def test_an_incomplete_history_is_not_taken_for_the_whole_revision(writer: Writer) -> None:
    write_set = make_write_set(writer)
    entry = add_entry(writer, write_set)
    stage(writer, entry, write_set)
    writer.target.history.records.delete(["1:4"])
    with pytest.raises(DamagedRecord, match="holds 9 of the 10 rows of revision 1"):
        roll_forward(writer, writer.ledger.set_state(entry, "writing"))


def test_a_new_revision_supersedes_what_was_left_unfinished(writer: Writer) -> None:
    planned = writer.ledger.add_entry("apply", 0, None, {})
    writing = writer.ledger.set_state(writer.ledger.add_entry("apply", 0, None, {}), "writing")
    newest = writer.ledger.add_entry("rollback", 0, 0, {})
    supersede_older_revisions(writer, newest)
    states = {entry.number: entry.state for entry in writer.ledger.entries()}
    assert states == {
        planned.number: "abandoned",
        writing.number: "superseded",
        newest.number: "planned",
    }
    assert find_pending_revisions(writer.ledger.entries()) == [newest]


def test_nothing_is_written_once_the_lease_is_lost(
    tracked_collection: TrackedCollection, writer: Writer
) -> None:
    write_set = make_write_set(writer)
    entry = add_entry(writer, write_set)
    break_lease(writer.target)
    with pytest.raises(LeaseLost):
        write_revision(writer, entry, write_set)
    assert tracked_collection.read_vectors().tobytes() == tracked_collection.originals.tobytes()
    assert writer.target.history.records.count() == 0


def test_only_who_holds_the_lease_of_a_sound_collection_writes(
    tracked_collection: TrackedCollection,
) -> None:
    target = tracked_collection.target()
    with (
        hold_lease(target, 30),
        pytest.raises(LeaseHeld),
        open_writer(target, SETTINGS, ignore_progress),
    ):
        pass
    quantised = replace(target, facts=replace(target.facts, problems=("it is quantised",)))
    with (
        pytest.raises(UnsupportedCollection, match="quantised"),
        open_writer(quantised, SETTINGS, ignore_progress),
    ):
        pass


class MeetingCollection(RetryingCollection):
    """A collection to which two calls of `write` go on only together; one of them may fail."""

    def __init__(self, collection: Collection, failing_point: PointId | None = None) -> None:
        super().__init__(collection)
        self._barrier = Barrier(2, timeout=30)
        self._failing_point = failing_point

    def write(self, points: Points, expected: Float32) -> WriteReport:
        self._barrier.wait()
        if self._failing_point in points.ids:
            raise DatabaseError("the server said no")
        return super().write(points, expected)


def make_meeting_writer(writer: Writer, failing_point: PointId | None = None) -> Writer:
    target, write = writer.target, WriteSettings(batch_size=5)
    collection = RetryingCollection(MeetingCollection(target.collection.wrapped, failing_point))
    facts = replace(target.facts, parallel_calls=2)
    return replace(
        writer,
        target=replace(target, collection=collection, facts=facts),
        settings=CollectionSettings(write=write),
    )


def test_as_many_batches_are_under_way_as_the_collection_allows(
    tracked_collection: TrackedCollection, writer: Writer
) -> None:
    write_set = make_write_set(writer)
    stage(writer, add_entry(writer, write_set), write_set)
    # One batch alone would wait for the other until the barrier breaks.
    assert commit(make_meeting_writer(writer), write_set).written == POINTS
    assert tracked_collection.read_vectors().tobytes() == ROWS.tobytes()


def test_a_batch_that_fails_waits_for_the_other_and_both_are_finished_later(
    tracked_collection: TrackedCollection, writer: Writer
) -> None:
    write_set = make_write_set(writer)
    entry = add_entry(writer, write_set)
    with pytest.raises(DatabaseError, match="said no"):
        write_revision(make_meeting_writer(writer, failing_point=0), entry, write_set)
    live_vectors = tracked_collection.read_vectors()
    assert live_vectors[:5].tobytes() == tracked_collection.originals[:5].tobytes()
    assert live_vectors[5:].tobytes() == ROWS[5:].tobytes()
    left = find_pending_revisions(tracked_collection.target().open_ledger().entries())
    assert [each.state for each in left] == ["writing"]
    roll_forward(writer, left[0])
    assert tracked_collection.read_vectors().tobytes() == ROWS.tobytes()
