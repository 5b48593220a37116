"""Whole cycles: what they change, what they leave, and every way back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nudge_sync_milvus
from nudge_sync import cycle
from nudge_sync.connector import Database, Float32
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.errors import InputError
from nudge_sync.feedback.schema.point_ids import resolve_point_ids
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.planning.plan_file import load_plan, save_plan
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep import verify
from nudge_sync.testing.memory import MemoryDatabase
from nudge_sync.writing import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.sample_collection import (
    DIMENSION,
    JUDGED_POINTS,
    POINTS,
    QUERIES,
    SETTINGS,
    SampleCollection,
    make_synthetic_data,
)
from tests.support.unit_vectors import make_unit_rows, normalise_rows

NAMES = ["", *(f"p{row}" for row in range(1, POINTS))]
"""Ids, of which Milvus takes an empty one, too."""


def test_a_cycle_helps_moves_only_judged_points_and_comes_back(
    any_sample_collection: SampleCollection,
) -> None:
    any_sample_collection.add_judgements()
    before = any_sample_collection.read_vectors()
    applied = cycle.apply(any_sample_collection.target(), SETTINGS)
    after = any_sample_collection.read_vectors()
    assert applied.plan.figures.after["ndcg@10"] > applied.plan.figures.before["ndcg@10"] + 0.05
    assert applied.live_check is not None
    assert applied.live_check.after["ndcg@10"] > applied.live_check.before["ndcg@10"] + 0.05
    assert applied.written == len(applied.plan.rows) == JUDGED_POINTS
    rescales = any_sample_collection.target().facts.rescales
    changed = ~is_same_vector(before, after, rescales=rescales)
    assert list(np.flatnonzero(changed)) == list(range(JUDGED_POINTS))
    state = verify.verify(any_sample_collection.target())
    assert (state.points, state.as_written, state.is_clean) == (JUDGED_POINTS, JUDGED_POINTS, True)

    back = roll_back(any_sample_collection.target(), SETTINGS, originals=True)
    assert (back.points, back.restored, back.identical) == (
        JUDGED_POINTS,
        JUDGED_POINTS,
        JUDGED_POINTS,
    )
    assert is_same_vector(any_sample_collection.read_vectors(), before, rescales=rescales).all()
    assert verify.verify(any_sample_collection.target()).original == JUDGED_POINTS


def test_cycles_over_unchanged_feedback_are_one_cycle(
    any_sample_collection: SampleCollection,
) -> None:
    any_sample_collection.add_judgements()
    cycle.apply(any_sample_collection.target(), SETTINGS)
    once = any_sample_collection.read_vectors()
    for _ in range(3):
        again = cycle.apply(any_sample_collection.target(), SETTINGS)
        assert (len(again.plan.rows), again.written, again.revision) == (0, 0, None)
    rescales = any_sample_collection.target().facts.rescales
    assert is_same_vector(any_sample_collection.read_vectors(), once, rescales=rescales).all()


def test_a_cycle_does_not_depend_on_the_one_before(sample_collection: SampleCollection) -> None:
    """Bit for bit: more feedback after a cycle gives what it gives without that cycle."""
    sample_collection.add_judgements(range(600))
    cycle.apply(sample_collection.target(), SETTINGS)
    sample_collection.add_judgements()
    cycle.apply(sample_collection.target(), SETTINGS)
    twice = sample_collection.read_vectors()
    roll_back(sample_collection.target(), SETTINGS, originals=True)
    cycle.apply(sample_collection.target(), SETTINGS)
    assert sample_collection.read_vectors().tobytes() == twice.tobytes()


def test_rollback_walks_back_and_forward_through_revisions(
    sample_collection: SampleCollection,
) -> None:
    states = [sample_collection.read_vectors()]
    for count in (400, 600, 900):
        sample_collection.add_judgements(range(count))
        cycle.apply(sample_collection.target(), SETTINGS)
        states.append(sample_collection.read_vectors())
    for to in (2, 3, 1):
        assert roll_back(sample_collection.target(), SETTINGS, to=to).identical == JUDGED_POINTS
        assert sample_collection.read_vectors().tobytes() == states[to].tobytes()
    roll_back(sample_collection.target(), SETTINGS, to=3)
    for expected in (2, 1, 0, 0):
        assert roll_back(sample_collection.target(), SETTINGS).head == expected
        assert sample_collection.read_vectors().tobytes() == states[expected].tobytes()


def test_history_keeps_the_last_revisions_and_no_more(sample_collection: SampleCollection) -> None:
    settings = SETTINGS.model_copy(
        update={"write": SETTINGS.write.model_copy(update={"keep_revisions": 2})}
    )
    states = {}
    for number, count in enumerate((300, 500, 600, 700, 900), 1):
        sample_collection.add_judgements(range(count))
        cycle.apply(sample_collection.target(), settings)
        states[number] = sample_collection.read_vectors()
    with pytest.raises(InputError, match="kept are: 4, 5"):
        roll_back(sample_collection.target(), settings, to=3)
    assert sample_collection.target().history.records.count() <= 2 * JUDGED_POINTS
    roll_back(sample_collection.target(), settings, to=4)
    assert sample_collection.read_vectors().tobytes() == states[4].tobytes()


def test_points_without_feedback_go_back(sample_collection: SampleCollection) -> None:
    before = sample_collection.read_vectors()
    sample_collection.add_judgements()
    cycle.apply(sample_collection.target(), SETTINGS)
    events = sample_collection.target().events
    gone = [
        record.key
        for batch in events.scan(vectors=False)
        for record in batch
        if record.document["object_id"] < 10
    ]
    events.delete(gone)
    cycle.apply(sample_collection.target(), SETTINGS)
    assert sample_collection.read_vectors(range(10)).tobytes() == before[:10].tobytes()
    assert (
        (sample_collection.read_vectors(range(10, JUDGED_POINTS)) != before[10:JUDGED_POINTS])
        .any(axis=1)
        .all()
    )


def test_forgetting_everything_brings_the_originals_back_although_the_gate_refuses(
    sample_collection: SampleCollection,
) -> None:
    before = sample_collection.read_vectors()
    sample_collection.add_judgements()
    cycle.apply(sample_collection.target(), SETTINGS)
    events = sample_collection.target().events
    events.delete([record.key for batch in events.scan(vectors=False) for record in batch])
    report = cycle.apply(sample_collection.target(), SETTINGS)
    assert report.outcome == "refused"
    assert "only 0 held-out queries" in report.reason
    assert (report.written, report.revision) == (JUDGED_POINTS, 2)
    assert sample_collection.read_vectors().tobytes() == before.tobytes()
    # As long as nothing changes there is nothing to compute.
    assert (
        "nothing changed since revision 2"
        in cycle.plan(sample_collection.target(), SETTINGS).figures.reasons
    )


def test_a_point_that_the_application_embeds_again_has_a_new_original(
    any_sample_collection: SampleCollection,
) -> None:
    any_sample_collection.add_judgements()
    cycle.apply(any_sample_collection.target(), SETTINGS)
    fresh = normalise_rows(
        any_sample_collection.data.vectors[[3, 5]] + 0.3 * make_unit_rows(2, DIMENSION, 9)
    )
    any_sample_collection.upsert([3, 5], fresh)
    embedded = any_sample_collection.read_vectors([3, 5])
    assert verify.verify(any_sample_collection.target()).drifted == 2
    back = roll_back(any_sample_collection.target(), SETTINGS)
    assert back.drifted == [3, 5]
    assert any_sample_collection.read_vectors([3, 5]).tobytes() == embedded.tobytes()
    again = cycle.apply(any_sample_collection.target(), SETTINGS)
    assert again.plan.drifted == [3, 5]
    assert (any_sample_collection.read_vectors([3, 5]) != embedded).any(axis=1).all()
    roll_back(any_sample_collection.target(), SETTINGS, to=0)
    assert any_sample_collection.read_vectors([3, 5]).tobytes() == embedded.tobytes()


def test_deleted_points_stay_deleted(sample_collection: SampleCollection) -> None:
    sample_collection.add_judgements()
    cycle.apply(sample_collection.target(), SETTINGS)
    sample_collection.delete([7])
    back = roll_back(sample_collection.target(), SETTINGS)
    assert back.missing == [7]
    assert (back.points, back.identical) == (JUDGED_POINTS, JUDGED_POINTS - 1)
    assert len(sample_collection.read_vectors([7])) == 0
    assert cycle.apply(sample_collection.target(), SETTINGS).plan.missing == [7]


def test_shuffled_judgements_are_refused_and_nothing_is_written(
    sample_collection: SampleCollection,
) -> None:
    before = sample_collection.read_vectors()
    rng = np.random.default_rng(1)
    sample_collection.data.answers[:] = [
        int(row) for row in rng.permutation(sample_collection.data.answers)
    ]
    sample_collection.add_judgements()
    assert cycle.apply(sample_collection.target(), SETTINGS).outcome == "refused"
    assert sample_collection.read_vectors().tobytes() == before.tobytes()
    assert sample_collection.target().open_ledger().entries() == []


def test_a_plan_travels_through_a_file(sample_collection: SampleCollection, tmp_path) -> None:
    sample_collection.add_judgements()
    planned = cycle.plan(sample_collection.target(), SETTINGS)
    save_plan(planned, tmp_path / "plan.jsonl")
    loaded = load_plan(tmp_path / "plan.jsonl")
    assert loaded.summary() == planned.summary()
    applied = cycle.apply(sample_collection.target(), SETTINGS, loaded)
    assert applied.written == len(planned.rows)
    assert (
        sample_collection.read_vectors(planned.rows.ids).tobytes() == planned.rows.vectors.tobytes()
    )


def test_planning_writes_nothing(sample_collection: SampleCollection) -> None:
    sample_collection.add_judgements()
    before = sample_collection.read_vectors()
    cycle.plan(sample_collection.target(), SETTINGS)
    target = sample_collection.target()
    assert [
        target.shadow.records.count(),
        target.history.records.count(),
        target.ledger_records.count(),
    ] == [0, 0, 0]
    assert sample_collection.read_vectors().tobytes() == before.tobytes()


def test_nothing_to_resume(sample_collection: SampleCollection) -> None:
    assert resume.resume(sample_collection.target(), SETTINGS) is None
    assert len(sample_collection.read_vectors()) == POINTS


def open_named_points(engine: str, folder: Path, vectors: Float32) -> Database:
    if engine == "memory":
        memory = MemoryDatabase()
        memory.store.create("docs", DIMENSION, "cosine", integer_ids=False)
        memory.store.upsert("docs", NAMES, vectors)
        return memory
    database = nudge_sync_milvus.connect({"uri": str(folder / "milvus.db")})
    nudge_sync_milvus.ingest(database, "docs", NAMES, vectors, [{}] * POINTS)
    return database


@pytest.mark.parametrize("engine", ["memory", "milvus-lite"])
def test_a_point_with_an_empty_id_is_moved_and_comes_back(engine: str, tmp_path: Path) -> None:
    data = make_synthetic_data()
    database = open_named_points(engine, tmp_path, data.vectors)
    target = open_target(database, "docs")
    # An application cannot say so with an empty field; a blank one matches by value.
    answers = [NAMES[answer] or " " for answer in data.answers]
    events = [Event(f"q{row}", "relevant", answer) for row, answer in enumerate(answers)]
    events = resolve_point_ids(events, target.collection)
    target.queries.put(
        [to_search_record(Search(f"q{row}", data.queries[row])) for row in range(QUERIES)]
    )
    target.events.put([to_event_record(event) for event in events])

    save_plan(cycle.plan(target, SETTINGS), tmp_path / "plan")
    plan = load_plan(tmp_path / "plan")
    assert "" in plan.rows.ids
    assert cycle.apply(target, SETTINGS, plan).outcome == "applied"
    assert target.collection.read([""]).vectors.tobytes() != data.vectors[:1].tobytes()
    assert verify.verify(target).is_clean
    assert cycle.apply(target, SETTINGS).outcome == "unchanged"
    roll_back(target, SETTINGS, originals=True)
    assert target.collection.read(NAMES).vectors.tobytes() == data.vectors.tobytes()
    database.close()
