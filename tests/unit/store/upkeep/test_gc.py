"""What garbage collection deletes, and that every way back it promises stays open."""

from __future__ import annotations

import pytest

from nudge_sync import cycle
from nudge_sync.config import WriteSettings
from nudge_sync.errors import Interrupted, LeaseLost
from nudge_sync.store import checksum
from nudge_sync.store import lease as lease_module
from nudge_sync.store.experiments.candidate import open_candidate, stage_candidate
from nudge_sync.store.lease import break_lease
from nudge_sync.store.ledger import find_restorable_revisions
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.restore_drill import open_scratch_records, run_drill
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.faults import Faults, FaultyDatabase
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.operations.clearing import collect, sweep
from tests.support.sample_collection import JUDGED_POINTS, SETTINGS, SampleCollection
from tests.support.tracked_collection import POINTS, TrackedCollection

KEEP_TWO = WriteSettings(keep_revisions=2, keep_log=3)
KEEP_ALL = WriteSettings(keep_revisions=100)


def run_gc(tracked_collection: TrackedCollection, settings: WriteSettings) -> int:
    return collect(tracked_collection.target(), settings)


def count_history(tracked_collection: TrackedCollection) -> dict[int, int]:
    """Return revision -> the number of its history records, where it has any."""
    records = tracked_collection.target().history.records
    counts = {number: records.count({"revision": number}) for number in range(20)}
    return {number: count for number, count in counts.items() if count}


def test_the_last_revisions_stay_and_every_way_back_to_them(
    tracked_collection: TrackedCollection,
) -> None:
    states = {}
    for revision in range(1, 7):
        tracked_collection.apply_plan(tracked_collection.target(), seed=revision)
        states[revision] = tracked_collection.read_vectors().tobytes()
    run_gc(tracked_collection, KEEP_TWO)
    assert count_history(tracked_collection) == {5: POINTS, 6: POINTS}
    entries = tracked_collection.target().open_ledger().entries()
    assert [entry.number for entry in entries] == [4, 5, 6]
    assert find_restorable_revisions(entries, 2) == [5, 6]
    settings = SETTINGS.model_copy(update={"write": KEEP_TWO})
    for revision in (5, 6):
        roll_back(tracked_collection.target(), settings, to=revision)
        assert tracked_collection.read_vectors().tobytes() == states[revision]
    tracked_collection.assert_nothing_is_lost()


def test_a_record_that_a_kept_revision_builds_on_stays(
    tracked_collection: TrackedCollection,
) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    for seed in (2, 3, 4):
        tracked_collection.apply_plan(tracked_collection.target(), seed=seed, points=4)
    live_vectors = tracked_collection.read_vectors()
    run_gc(tracked_collection, KEEP_TWO)
    assert count_history(tracked_collection) == {1: POINTS - 4, 3: 4, 4: 4}
    assert verify(tracked_collection.target()).is_clean
    assert tracked_collection.read_vectors().tobytes() == live_vectors.tobytes()


def test_a_record_that_alone_tells_a_live_vector_is_ours_stays(
    tracked_collection: TrackedCollection,
) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    old_vectors = tracked_collection.read_vectors()
    for seed in range(2, 6):
        tracked_collection.apply_plan(tracked_collection.target(), seed=seed)
    # An application that reads points whole, changes their payload and writes them whole.
    tracked_collection.application.upsert(tracked_collection.database, [6], old_vectors[[6]])
    run_gc(tracked_collection, KEEP_TWO)
    assert count_history(tracked_collection)[1] == 1
    tracked_collection.assert_nothing_is_lost()


def test_an_original_goes_once_no_history_was_made_from_it(
    tracked_collection: TrackedCollection,
) -> None:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    tracked_collection.rewrite_vector(3, seed=7)
    tracked_collection.apply_plan(tracked_collection.target(), seed=2)
    assert run_gc(tracked_collection, KEEP_ALL) == 0
    assert len(tracked_collection.target().shadow.read_originals()[3]) == 2
    for seed in (3, 4, 5):
        tracked_collection.apply_plan(tracked_collection.target(), seed=seed)
    assert run_gc(tracked_collection, KEEP_TWO) > 0
    originals = tracked_collection.target().shadow.read_originals()
    assert {point: len(versions) for point, versions in originals.items()} == dict.fromkeys(
        range(POINTS), 1
    )
    tracked_collection.assert_nothing_is_lost()


def test_there_is_nothing_to_collect_twice(tracked_collection: TrackedCollection) -> None:
    for seed in range(1, 6):
        tracked_collection.apply_plan(tracked_collection.target(), seed=seed)
    run_gc(tracked_collection, KEEP_TWO)
    assert run_gc(tracked_collection, KEEP_TWO) == 0


def _abandon_revision(sample_collection: SampleCollection) -> int:
    """History of a revision that was noted, never written, and abandoned with its notes there."""
    sample_collection.add_judgements()

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "write":
            raise AssertionError
        if stage == "note" and done == total:
            raise Interrupted

    with pytest.raises(Interrupted):
        cycle.apply(sample_collection.target(), SETTINGS, progress=stop)
    target = sample_collection.target()
    ledger = target.open_ledger()
    ledger.set_state(ledger.read_entry(1), "abandoned")
    return target.history.records.count()


def test_gc_sweeps_the_history_of_abandoned_revisions(sample_collection: SampleCollection) -> None:
    noted = _abandon_revision(sample_collection)
    before = sample_collection.read_vectors()
    assert noted == JUDGED_POINTS
    assert sweep(sample_collection.target()) == noted
    assert sample_collection.target().history.records.count() == 0
    assert sweep(sample_collection.target()) == 0
    assert resume(sample_collection.target(), SETTINGS) is None
    assert roll_back(sample_collection.target(), SETTINGS, originals=True).restored == 0
    assert sample_collection.read_vectors().tobytes() == before.tobytes()


def test_gc_keeps_an_abandoned_note_that_alone_tells_a_live_vector_is_ours(
    sample_collection: SampleCollection,
) -> None:
    noted = _abandon_revision(sample_collection)
    target = sample_collection.target()
    record = target.history.read_records(1, [2], vectors=True)[2]
    assert record.vector is not None
    sample_collection.upsert([2], record.vector[None])
    held = (
        checksum.digest_vectors(sample_collection.read_vectors([2]))[0] == record.document["vector"]
    )
    assert sweep(sample_collection.target()) == noted - held


def test_gc_sweeps_what_a_killed_drill_left(sample_collection: SampleCollection) -> None:
    sample_collection.add_judgements()
    cycle.apply(sample_collection.target(), SETTINGS)
    target = sample_collection.target()
    open_scratch_records(target).put(target.shadow.records.get(["1:3", "1:4"]))
    assert run_drill(sample_collection.target()).is_restorable
    assert open_scratch_records(target).count() == 2
    assert sweep(sample_collection.target()) == 2
    assert open_scratch_records(target).count() == 0


def test_no_more_is_deleted_once_the_lease_is_lost(
    tracked_collection: TrackedCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "_CHECK_INTERVAL_SECONDS", 0.0)
    for seed in range(1, 7):
        tracked_collection.apply_plan(tracked_collection.target(), seed=seed)
    faults = Faults(
        1,
        "after",
        strike=lambda: break_lease(tracked_collection.target()),
        only=frozenset({"delete"}),
    )
    faulty = open_target(FaultyDatabase(tracked_collection.database, faults), "docs")
    with pytest.raises(LeaseLost):
        collect(faulty, KEEP_TWO)
    assert faults.calls == ["docs__nudge_history.delete"]
    assert sorted(count_history(tracked_collection)) == [3, 4, 5, 6]
    tracked_collection.assert_nothing_is_lost()


def test_the_candidate_of_another_process_stays_once_the_lease_is_lost(
    tracked_collection: TrackedCollection,
) -> None:
    def take_over() -> None:
        """Do what another process does that is about to show a canary."""
        target = tracked_collection.target()
        break_lease(target)
        rows = tracked_collection.originals
        stage_candidate(target, 1, [1, 2], vectors=rows[:2], replaced=rows[:2], originals=rows[:2])

    candidate_count = 2
    faults = Faults(candidate_count, strike=take_over, only=frozenset({"count"}))
    faulty = open_target(FaultyDatabase(tracked_collection.database, faults), "docs")
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    with pytest.raises(LeaseLost):
        collect(faulty, KEEP_TWO)
    assert faults.calls == ["docs__nudge_history.count", "docs__nudge_candidate.count"]
    assert open_candidate(tracked_collection.target()).records.count() == 2
