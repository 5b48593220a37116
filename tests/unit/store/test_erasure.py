"""After feedback is removed, no vector shows any trace of it, whatever the gate says."""

from __future__ import annotations

import json

import pytest

from nudge_sync import cycle
from nudge_sync.config import SolverSettings
from nudge_sync.errors import StalePlan
from nudge_sync.feedback.erase import FeedbackSelector, erase_feedback, export_rows
from nudge_sync.feedback.ingest.formats import open_json_lines
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.solve.problem import Method
from nudge_sync.store import erasure
from nudge_sync.store.hold import HoldRequest, release_hold
from nudge_sync.store.ledger import find_head
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.faults import Faults, FaultyDatabase
from nudge_sync.writing.rollback import roll_back
from tests.support.sample_collection import (
    DIMENSION,
    SETTINGS,
    SampleCollection,
    open_sample_collection,
)
from tests.support.unit_vectors import make_unit_rows, normalise_rows


def test_the_next_cycle_leaves_no_bit_of_a_forgotten_client(
    sample_collection: SampleCollection,
) -> None:
    sample_collection.add_judgements(range(600))
    cycle.apply(sample_collection.target(), SETTINGS)
    never_heard_of_them = sample_collection.read_vectors().tobytes()
    sample_collection.add_judgements(range(600, 900), client="c1")
    cycle.apply(sample_collection.target(), SETTINGS)
    assert sample_collection.read_vectors().tobytes() != never_heard_of_them

    target = sample_collection.target()
    gone = erase_feedback(target, FeedbackSelector(client="c1"))
    assert gone.events == 300
    cycle.apply(sample_collection.target(), SETTINGS)
    assert sample_collection.read_vectors().tobytes() == never_heard_of_them


@pytest.mark.parametrize("method", ["nudge-n", "nudge-c"])
def test_points_that_only_a_forgotten_client_moved_leave_no_trace_in_others(
    sample_collection: SampleCollection, method: Method
) -> None:
    """Those points are found by search again, and must not change where the judged ones go."""
    settings = SETTINGS.model_copy(update={"solver": SolverSettings(method=method)})
    sample_collection.add_judgements(range(600))
    cycle.apply(sample_collection.target(), settings)
    never_heard_of_them = sample_collection.read_vectors().tobytes()
    target = sample_collection.target()
    for point in range(300, 330):
        spot = sample_collection.data.vectors[point] + 1.2 * make_unit_rows(1, DIMENSION, point)
        noise = make_unit_rows(20, DIMENSION, 1000 + point)
        for row, query in enumerate(normalise_rows(spot + 0.5 * noise)):
            name = f"x{point} {row}"
            target.queries.put([to_search_record(Search(name, query, client_id="x"))])
            target.events.put([to_event_record(Event(name, "relevant", point, client_id="x"))])
    cycle.apply(sample_collection.target(), settings)
    moved = (sample_collection.read_vectors() != sample_collection.data.vectors).any(axis=1)
    assert moved[300:330].sum() > 20

    erase_feedback(target, FeedbackSelector(client="x"))
    cycle.apply(sample_collection.target(), settings)
    assert sample_collection.read_vectors().tobytes() == never_heard_of_them
    assert cycle.apply(sample_collection.target(), settings).written == 0
    assert verify(sample_collection.target()).is_clean
    assert roll_back(sample_collection.target(), settings, originals=True).identical > 60
    assert sample_collection.read_vectors().tobytes() == sample_collection.data.vectors.tobytes()


def test_nothing_of_a_forgotten_client_stays_live_because_the_gate_refuses(
    sample_collection: SampleCollection,
) -> None:
    """Without that feedback the gate refuses every change, and yet all points go back."""
    sample_collection.add_judgements(range(40))
    assert cycle.apply(sample_collection.target(), SETTINGS).outcome == "refused"
    sample_collection.add_judgements(range(40, 900), client="c1")
    cycle.apply(sample_collection.target(), SETTINGS)
    assert sample_collection.read_vectors().tobytes() != sample_collection.data.vectors.tobytes()
    erase_feedback(sample_collection.target(), FeedbackSelector(client="c1"))
    assert len(cycle.plan(sample_collection.target(), SETTINGS).rows) > 0
    for _ in range(2):
        assert cycle.apply(sample_collection.target(), SETTINGS).outcome == "refused"
        assert (
            sample_collection.read_vectors().tobytes() == sample_collection.data.vectors.tobytes()
        )
    # What is learned from now on may stay again.
    assert not erasure.read_erasure_state(sample_collection.target()).is_pending


def test_nothing_of_a_forgotten_client_stays_live_because_it_did_better(
    sample_collection: SampleCollection,
) -> None:
    """A loss against what is live is refused, unless feedback behind it was removed."""
    little = SETTINGS.model_copy(update={"solver": SolverSettings(method="nudge-n", angle=0.1)})
    sample_collection.add_judgements(range(400))
    cycle.apply(sample_collection.target(), little)
    never_heard_of_them = sample_collection.read_vectors().tobytes()
    sample_collection.add_judgements(range(400, 900), client="c1")
    cycle.apply(sample_collection.target(), SETTINGS)
    assert "against what is live now" in cycle.apply(sample_collection.target(), little).reason
    erase_feedback(sample_collection.target(), FeedbackSelector(client="c1"))
    cycle.apply(sample_collection.target(), little)
    assert sample_collection.read_vectors().tobytes() == never_heard_of_them


def test_what_is_held_on_a_client_can_be_given_out_and_taken_back(
    sample_collection: SampleCollection, tmp_path
) -> None:
    sample_collection.add_judgements(range(20), client="c1")
    sample_collection.add_judgements(range(20, 30), client="c2")
    target = sample_collection.target()
    rows = list(export_rows(target.queries, target.events, FeedbackSelector(client="c1")))
    assert {row["client_id"] for row in rows} == {"c1"}
    path = tmp_path / "c1.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    before = target.events.count()
    erase_feedback(target, FeedbackSelector(client="c1"))
    assert target.events.count() == 10
    assert not list(export_rows(target.queries, target.events, FeedbackSelector(client="c1")))
    destination = Destination(target.queries, target.events, target.collection)
    report = import_rows([open_json_lines(path)], destination)
    assert (report.rejected, target.events.count()) == (0, before)


def test_a_plan_that_was_looked_at_first_forgets_within_two_cycles(
    sample_collection: SampleCollection,
) -> None:
    """`apply` without --yes plans first; a plan from before the removal is refused."""
    settings = SETTINGS.model_copy(update={"solver": SolverSettings(method="nudge-n")})
    sample_collection.add_judgements(range(600))
    cycle.apply(sample_collection.target(), settings)
    sample_collection.add_judgements(range(600, 900), client="c1")
    before = cycle.plan(sample_collection.target(), settings)
    target = sample_collection.target()
    target.queries.put(
        [to_search_record(Search("c2", sample_collection.data.queries[0], client_id="c2"))]
    )
    erase_feedback(target, FeedbackSelector(client="c2"))
    with pytest.raises(StalePlan, match="feedback"):
        cycle.apply(sample_collection.target(), settings, before)
    erase_feedback(sample_collection.target(), FeedbackSelector(client="c1"))
    for _ in range(2):
        looked_at = cycle.plan(sample_collection.target(), settings)
        cycle.apply(sample_collection.target(), settings, looked_at)
    assert not erasure.read_erasure_state(sample_collection.target()).is_pending


FORGET_CALLS = 4
"""Writing calls of a removal: the request, the events, the searches, and the request again."""


@pytest.mark.parametrize("call", range(1, FORGET_CALLS + 1))
def test_a_cycle_in_the_middle_of_a_removal_keeps_nothing_of_it(tmp_path, call: int) -> None:
    with open_sample_collection("memory", tmp_path) as sample:
        sample.add_judgements(range(40))
        sample.add_judgements(range(40, 900), client="c1")
        assert cycle.apply(sample.target(), SETTINGS).outcome == "applied"

        def run_cycle() -> None:
            cycle.apply(sample.target(), SETTINGS)

        faults = Faults(call, "before", strike=run_cycle)
        faulty = open_target(FaultyDatabase(sample.database, faults), "docs")
        erase_feedback(faulty, FeedbackSelector(client="c1"), [f"q{row}" for row in range(40, 900)])
        # One more where the cycle changed the record between its look and its change.
        assert len(faults.calls) >= FORGET_CALLS
        for _ in range(2):
            cycle.apply(sample.target(), SETTINGS)
            assert sample.read_vectors().tobytes() == sample.data.vectors.tobytes()
        assert not erasure.read_erasure_state(sample.target()).is_pending


def test_a_rollback_to_before_a_removal_is_forgotten_again(
    sample_collection: SampleCollection,
) -> None:
    sample_collection.add_judgements(range(40))
    sample_collection.add_judgements(range(40, 900), client="c1")
    assert cycle.apply(sample_collection.target(), SETTINGS).outcome == "applied"
    knew_them = sample_collection.read_vectors().tobytes()
    erase_feedback(sample_collection.target(), FeedbackSelector(client="c1"))
    cycle.apply(sample_collection.target(), SETTINGS)
    assert not erasure.read_erasure_state(sample_collection.target()).is_pending

    report = roll_back(sample_collection.target(), SETTINGS, to=1, hold=HoldRequest("anna"))
    assert report.summary()["erasure_pending"]
    assert sample_collection.read_vectors().tobytes() == knew_them
    assert roll_back(sample_collection.target(), SETTINGS, to=1).erasure_pending
    release_hold(sample_collection.target())
    cycle.apply(sample_collection.target(), SETTINGS)
    assert sample_collection.read_vectors().tobytes() == sample_collection.data.vectors.tobytes()
    assert not erasure.read_erasure_state(sample_collection.target()).is_pending


def test_a_rollback_to_what_has_forgotten_asks_for_nothing(
    sample_collection: SampleCollection,
) -> None:
    sample_collection.add_judgements(range(600), client="c1")
    sample_collection.add_judgements(range(600, 900))
    cycle.apply(sample_collection.target(), SETTINGS)
    erase_feedback(sample_collection.target(), FeedbackSelector(query="q0"))
    cycle.apply(sample_collection.target(), SETTINGS)
    has_forgotten = sample_collection.read_vectors().tobytes()
    head = find_head(sample_collection.target().open_ledger().entries())
    assert not roll_back(sample_collection.target(), SETTINGS, originals=True).erasure_pending
    assert not roll_back(sample_collection.target(), SETTINGS, to=head).erasure_pending
    assert sample_collection.read_vectors().tobytes() == has_forgotten
    assert not erasure.read_erasure_state(sample_collection.target()).is_pending


def test_a_damaged_record_of_removals_keeps_nobody_from_rolling_back(
    sample_collection: SampleCollection,
) -> None:
    sample_collection.add_judgements(range(600))
    cycle.apply(sample_collection.target(), SETTINGS)
    cycle.apply(sample_collection.target(), SETTINGS)
    erasure.request_erasure(sample_collection.target())
    records = sample_collection.target().ledger_records
    record = records.get([erasure.ERASURE_KEY])[0]
    record.document["erasure"]["done"] += 1
    records.put([record])
    assert not roll_back(sample_collection.target(), SETTINGS, to=1).erasure_pending
    roll_back(sample_collection.target(), SETTINGS, originals=True)
    assert sample_collection.read_vectors().tobytes() == sample_collection.data.vectors.tobytes()
