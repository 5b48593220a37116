from __future__ import annotations

import numpy as np
import pytest
from worlds import JUDGED, POINTS, SETTINGS, World, unit

from nudge_sync import cycle
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.errors import GateRefused, InputError
from nudge_sync.planning.plan_file import load_plan, save_plan
from nudge_sync.store import verify
from nudge_sync.store.ledger import Ledger
from nudge_sync.writing import resume
from nudge_sync.writing.rollback import roll_back


def test_a_cycle_helps_moves_only_judged_points_and_comes_back(any_world: World) -> None:
    any_world.teach()
    before = any_world.live()
    applied = cycle.apply(any_world.target(), SETTINGS)
    after = any_world.live()
    assert applied.plan.after["ndcg@10"] > applied.plan.before["ndcg@10"] + 0.05
    assert applied.live_check is not None
    assert applied.live_check.after["ndcg@10"] > applied.live_check.before["ndcg@10"] + 0.05
    assert applied.written == applied.plan.moved == JUDGED
    rescales = any_world.target().facts.rescales
    changed = ~is_same_vector(before, after, rescales=rescales)
    assert list(np.flatnonzero(changed)) == list(range(JUDGED))
    state = verify.verify(any_world.target())
    assert (state.points, state.as_written, state.is_clean) == (JUDGED, JUDGED, True)

    back = roll_back(any_world.target(), SETTINGS, originals=True)
    assert (back.points, back.restored, back.identical) == (JUDGED, JUDGED, JUDGED)
    assert is_same_vector(any_world.live(), before, rescales=rescales).all()
    assert verify.verify(any_world.target()).original == JUDGED


def test_cycles_over_unchanged_feedback_are_one_cycle(any_world: World) -> None:
    any_world.teach()
    cycle.apply(any_world.target(), SETTINGS)
    once = any_world.live()
    for _ in range(3):
        again = cycle.apply(any_world.target(), SETTINGS)
        assert (again.plan.moved, again.written, again.revision) == (0, 0, None)
    rescales = any_world.target().facts.rescales
    assert is_same_vector(any_world.live(), once, rescales=rescales).all()


def test_a_cycle_does_not_depend_on_the_one_before(world: World) -> None:
    """Bit for bit: more feedback after a cycle gives what it gives without that cycle."""
    world.teach(range(600))
    cycle.apply(world.target(), SETTINGS)
    world.teach()
    cycle.apply(world.target(), SETTINGS)
    twice = world.live()
    roll_back(world.target(), SETTINGS, originals=True)
    cycle.apply(world.target(), SETTINGS)
    assert world.live().tobytes() == twice.tobytes()


def test_rollback_walks_back_and_forward_through_revisions(world: World) -> None:
    states = [world.live()]
    for count in (400, 600, 900):
        world.teach(range(count))
        cycle.apply(world.target(), SETTINGS)
        states.append(world.live())
    for to in (2, 3, 1):
        assert roll_back(world.target(), SETTINGS, to=to).identical == JUDGED
        assert world.live().tobytes() == states[to].tobytes()
    roll_back(world.target(), SETTINGS, to=3)
    for expected in (2, 1, 0, 0):
        assert roll_back(world.target(), SETTINGS).head == expected
        assert world.live().tobytes() == states[expected].tobytes()


def test_history_keeps_the_last_revisions_and_no_more(world: World) -> None:
    settings = SETTINGS.model_copy(
        update={"write": SETTINGS.write.model_copy(update={"keep_revisions": 2})}
    )
    states = {}
    for number, count in enumerate((300, 500, 600, 700, 900), 1):
        world.teach(range(count))
        cycle.apply(world.target(), settings)
        states[number] = world.live()
    with pytest.raises(InputError, match="kept are: 4, 5"):
        roll_back(world.target(), settings, to=3)
    assert world.target().history_records.count() <= 2 * JUDGED
    roll_back(world.target(), settings, to=4)
    assert world.live().tobytes() == states[4].tobytes()


def test_points_without_feedback_go_back(world: World) -> None:
    before = world.live()
    world.teach()
    cycle.apply(world.target(), SETTINGS)
    events = world.target().events
    gone = [
        record.key
        for batch in events.scan(vectors=False)
        for record in batch
        if record.document["object_id"] < 10
    ]
    events.delete(gone)
    cycle.apply(world.target(), SETTINGS)
    assert world.live(range(10)).tobytes() == before[:10].tobytes()
    assert (world.live(range(10, JUDGED)) != before[10:JUDGED]).any(axis=1).all()


def test_forgetting_everything_brings_the_originals_back_although_the_gate_refuses(
    world: World,
) -> None:
    before = world.live()
    world.teach()
    cycle.apply(world.target(), SETTINGS)
    events = world.target().events
    events.delete([record.key for batch in events.scan(vectors=False) for record in batch])
    with pytest.raises(GateRefused, match="only 0 held-out queries") as refused:
        cycle.apply(world.target(), SETTINGS)
    assert (refused.value.applied.written, refused.value.applied.revision) == (JUDGED, 2)
    assert world.live().tobytes() == before.tobytes()
    # As long as nothing changes there is nothing to compute.
    assert "nothing changed since revision 2" in cycle.plan(world.target(), SETTINGS).reasons


def test_a_point_that_the_application_embeds_again_has_a_new_original(any_world: World) -> None:
    any_world.teach()
    cycle.apply(any_world.target(), SETTINGS)
    rng = np.random.default_rng(9)
    fresh = unit(any_world.numbers.vectors[[3, 5]] + 0.3 * unit(rng.normal(size=(2, 32))))
    any_world.upsert([3, 5], fresh)
    embedded = any_world.live([3, 5])
    assert verify.verify(any_world.target()).drifted == 2
    back = roll_back(any_world.target(), SETTINGS)
    assert back.drifted == [3, 5]
    assert any_world.live([3, 5]).tobytes() == embedded.tobytes()
    again = cycle.apply(any_world.target(), SETTINGS)
    assert again.plan.drifted == [3, 5]
    assert (any_world.live([3, 5]) != embedded).any(axis=1).all()
    roll_back(any_world.target(), SETTINGS, to=0)
    assert any_world.live([3, 5]).tobytes() == embedded.tobytes()


def test_deleted_points_stay_deleted(world: World) -> None:
    world.teach()
    cycle.apply(world.target(), SETTINGS)
    world.delete([7])
    back = roll_back(world.target(), SETTINGS)
    assert back.missing == [7]
    assert (back.points, back.identical) == (JUDGED, JUDGED - 1)
    assert len(world.live([7])) == 0
    assert cycle.apply(world.target(), SETTINGS).plan.missing == [7]


def test_shuffled_judgements_are_refused_and_nothing_is_written(world: World) -> None:
    before = world.live()
    rng = np.random.default_rng(1)
    world.numbers.answers[:] = [int(row) for row in rng.permutation(world.numbers.answers)]
    world.teach()
    with pytest.raises(GateRefused):
        cycle.apply(world.target(), SETTINGS)
    assert world.live().tobytes() == before.tobytes()
    assert Ledger(world.target().ledger_records, "docs").entries() == []


def test_a_plan_travels_through_a_file(world: World, tmp_path) -> None:
    world.teach()
    planned = cycle.plan(world.target(), SETTINGS)
    save_plan(planned, tmp_path / "plan.jsonl")
    loaded = load_plan(tmp_path / "plan.jsonl")
    assert loaded.summary() == planned.summary()
    applied = cycle.apply(world.target(), SETTINGS, loaded)
    assert applied.written == planned.moved
    assert world.live(planned.ids).tobytes() == planned.vectors.tobytes()


def test_planning_writes_nothing(world: World) -> None:
    world.teach()
    before = world.live()
    cycle.plan(world.target(), SETTINGS)
    target = world.target()
    assert [
        target.shadow_records.count(),
        target.history_records.count(),
        target.ledger_records.count(),
    ] == [0, 0, 0]
    assert world.live().tobytes() == before.tobytes()


def test_nothing_to_resume(world: World) -> None:
    assert resume.resume(world.target(), SETTINGS) is None
    assert len(world.live()) == POINTS
