"""After a crash at any call, `resume` leaves all rows as before the change, or all as after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest

from nudge_sync import cycle
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.metrics import METRIC_NAMES
from nudge_sync.planning.held_out import select_present_held_out
from nudge_sync.store.lease import break_lease
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.faults import Crash, Faults, FaultyDatabase, When
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.sample_collection import (
    DIMENSION,
    POINTS,
    SampleCollection,
    open_sample_collection,
)
from tests.support.sample_collection import SETTINGS as SAMPLE_SETTINGS
from tests.support.tracked_collection import SETTINGS, TrackedCollection
from tests.support.unit_vectors import make_unit_rows, perturb_rows

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


def crash_once_written(sample: SampleCollection, worsens: bool = False) -> bytes:
    """Begin a change that ends when all rows are written, and return what they hold."""
    plan = cycle.plan(sample.target(), SAMPLE_SETTINGS)
    if worsens:
        plan = replace(plan, figures=replace(plan.figures, found=dict.fromkeys(METRIC_NAMES, 2.0)))
    # The lease, the entry, the states "writing" and "written"; originals, history and rows.
    calls = 4 + 3 * ceil(len(plan.rows) / SAMPLE_SETTINGS.write.batch_size)
    faulty = FaultyDatabase(sample.database, Faults(calls, "after"))
    with pytest.raises(Crash):
        cycle.apply(open_target(faulty, "docs"), SAMPLE_SETTINGS, plan)
    break_lease(sample.target())
    assert sample.target().open_ledger().read_entry(1).state == "written"
    return sample.read_vectors().tobytes()


def add_hard_questions(sample: SampleCollection) -> None:
    """Store labels on points that nothing finds for these queries."""
    target = sample.target()
    for row, query in enumerate(make_unit_rows(300, DIMENSION, 99)):
        target.queries.put([to_search_record(Search(f"n{row}", query))])
        point = 200 + row % (POINTS - 200)
        target.events.put([to_event_record(Event(f"n{row}", "relevant", point))])


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[SampleCollection]:
    with open_sample_collection("memory", tmp_path) as opened:
        opened.add_judgements()
        yield opened


def test_what_was_written_is_measured_by_the_same_queries(sample: SampleCollection) -> None:
    written = crash_once_written(sample)
    result = resume(sample.target(), SAMPLE_SETTINGS)
    assert result is not None
    assert (result["state"], result["live"]["lost"]) == ("applied", False)
    assert sample.read_vectors().tobytes() == written


def test_answers_that_were_gone_before_are_left_out_again(sample: SampleCollection) -> None:
    held_out = select_present_held_out(
        sample.target(), load_judgements(sample.target(), SAMPLE_SETTINGS)
    )
    answers = {held_out.point_ids[column] for column in held_out.relevance.indices}
    sample.delete(sorted(answers)[::2])
    crash_once_written(sample)
    entry = resume(sample.target(), SAMPLE_SETTINGS)
    assert entry is not None
    assert entry["state"] == "applied"
    # As a query without an answer scores nothing, the mean would be half of this.
    assert entry["live"]["after"]["recall@10"] > 0.8


def test_a_loss_is_taken_back_all_the_same(sample: SampleCollection) -> None:
    crash_once_written(sample, worsens=True)
    result = resume(sample.target(), SAMPLE_SETTINGS)
    assert result is not None
    assert (result["state"], result["lost"]["lost"]) == ("superseded", True)
    assert sample.read_vectors().tobytes() == sample.data.vectors.tobytes()


def test_what_an_earlier_version_measured_with_other_queries_gives_no_verdict(
    sample: SampleCollection,
) -> None:
    written = crash_once_written(sample, worsens=True)
    ledger = sample.target().open_ledger()
    ledger.add_details(ledger.read_entry(1), held_out="that of queries without an answer too")
    result = resume(sample.target(), SAMPLE_SETTINGS)
    assert result is not None
    assert (result["state"], result["live"]) == ("applied", None)
    assert "not measured on the live index" in result["reasons"][0]
    assert sample.read_vectors().tobytes() == written


@pytest.mark.parametrize("by_cycle", [False, True])
def test_other_queries_give_no_verdict(sample: SampleCollection, by_cycle: bool) -> None:
    written = crash_once_written(sample)
    add_hard_questions(sample)
    if by_cycle:
        cycle.apply(sample.target(), SAMPLE_SETTINGS)
    else:
        resume(sample.target(), SAMPLE_SETTINGS)
        assert sample.read_vectors().tobytes() == written
    entry = sample.target().open_ledger().read_entry(1)
    assert (entry.state, entry.details.live, entry.details.lost) == ("applied", None, None)
    assert "not measured on the live index" in entry.details.reasons[0]


def test_a_loss_that_was_measured_stays_one(sample: SampleCollection) -> None:
    """A crash between the verdict and its rollback, and other queries before it is resumed."""
    crash_once_written(sample, worsens=True)
    ledger = sample.target().open_ledger()
    ledger.add_details(ledger.read_entry(1), lost={"before": {}, "after": {}, "lost": True})
    add_hard_questions(sample)
    resume(sample.target(), SAMPLE_SETTINGS)
    assert sample.target().open_ledger().read_entry(1).state == "superseded"
    assert sample.read_vectors().tobytes() == sample.data.vectors.tobytes()
