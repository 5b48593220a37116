"""A plan says what a cycle would write and why, and is stale once anything changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.config import SolverSettings
from nudge_sync.connector.vectors import angles
from nudge_sync.errors import StalePlan, UnsupportedCollection
from nudge_sync.planning.plan import Plan, refuse_stale_plan
from nudge_sync.store import checksum
from nudge_sync.writing.rollback import roll_back
from tests.support.sample_collection import (
    DIMENSION,
    JUDGED_POINTS,
    QUERIES,
    SETTINGS,
    SampleCollection,
    open_sample_collection,
)
from tests.support.unit_vectors import make_unit_rows, normalise_rows


@pytest.fixture
def judged(tmp_path: Path):
    """A sample collection in memory with all its judgements."""
    with open_sample_collection("memory", tmp_path) as sample:
        sample.add_judgements()
        yield sample


def make_plan(sample: SampleCollection) -> Plan:
    return cycle.plan(sample.target(), SETTINGS)


def test_judged_points_are_turned_and_the_gate_passes(judged: SampleCollection) -> None:
    plan = make_plan(judged)
    assert plan.gate.passed
    assert sorted(plan.rows.ids) == list(range(JUDGED_POINTS))
    assert plan.figures.judged == JUDGED_POINTS
    assert plan.figures.after["ndcg@10"] > plan.figures.before["ndcg@10"] + 0.05
    assert sum(plan.figures.queries.values()) == QUERIES
    turned = angles(plan.rows.vectors, judged.data.vectors[plan.rows.ids])
    assert plan.rows.angles == pytest.approx(turned.tolist(), abs=1e-6)
    assert plan.rows.live_digests == checksum.digest_vectors(plan.rows.live_vectors)
    np.testing.assert_allclose(np.linalg.norm(plan.rows.vectors, axis=1), 1, atol=1e-6)


def test_planning_twice_gives_one_plan(judged: SampleCollection) -> None:
    first, second = make_plan(judged), make_plan(judged)
    assert first.summary() == second.summary()
    assert first.rows.vectors.tobytes() == second.rows.vectors.tobytes()
    assert (first.inputs, first.inputs_digest) == (second.inputs, second.inputs_digest)


def test_without_judgements_nothing_is_planned(tmp_path: Path) -> None:
    with open_sample_collection("memory", tmp_path) as sample:
        plan = make_plan(sample)
    assert len(plan.rows) == 0
    assert not plan.gate.passed
    assert "only 0 held-out queries" in plan.gate.reasons[0]


def test_a_plan_of_what_is_live_is_that_revision(judged: SampleCollection) -> None:
    revision = cycle.apply(judged.target(), SETTINGS).revision
    plan = make_plan(judged)
    assert len(plan.rows) == 0
    assert plan.figures.reasons[0] == f"nothing changed since revision {revision}"


def test_a_refusal_keeps_what_is_live(judged: SampleCollection) -> None:
    cycle.apply(judged.target(), SETTINGS)
    strict = SETTINGS.model_copy(
        update={"gate": SETTINGS.gate.model_copy(update={"min_queries": 10_000})}
    )
    plan = cycle.plan(judged.target(), strict)
    assert not plan.gate.passed
    assert len(plan.rows) == 0


def test_a_refusal_goes_back_where_what_is_live_lost_to_the_originals(
    judged: SampleCollection,
) -> None:
    cycle.apply(judged.target(), SETTINGS)
    # From now on people ask for what the documents said before they were moved.
    noise = make_unit_rows(QUERIES, DIMENSION, 1)
    answered = judged.data.vectors[judged.data.answers]
    judged.data.queries[:] = normalise_rows(answered + 2.0 * noise)
    judged.add_judgements()
    plan = make_plan(judged)
    assert not plan.gate.passed
    assert plan.figures.before["ndcg@10"] < plan.figures.originals["ndcg@10"]
    assert plan.rows.vectors.tobytes() == judged.data.vectors[plan.rows.ids].tobytes()
    assert sorted(plan.rows.ids) == list(range(JUDGED_POINTS))


def test_the_baseline_can_be_asked_for(judged: SampleCollection) -> None:
    cycle.apply(judged.target(), SETTINGS)
    settings = SETTINGS.model_copy(update={"solver": SolverSettings(method="nothing")})
    plan = cycle.plan(judged.target(), settings)
    assert plan.gate.passed
    assert plan.rows.vectors.tobytes() == judged.data.vectors[plan.rows.ids].tobytes()


def change_feedback(sample: SampleCollection) -> None:
    sample.data.answers[0] = (sample.data.answers[0] + 1) % JUDGED_POINTS
    sample.add_judgements([0])


def change_head(sample: SampleCollection) -> None:
    roll_back(sample.target(), SETTINGS)


@pytest.mark.parametrize(
    ("change", "name"), [(change_feedback, "feedback"), (change_head, "revision")]
)
def test_a_plan_is_stale_once_something_changed(
    judged: SampleCollection, change: object, name: str
) -> None:
    cycle.apply(judged.target(), SETTINGS)
    old = make_plan(judged)
    refuse_stale_plan(old, make_plan(judged).inputs)
    change(judged)
    with pytest.raises(StalePlan, match=f"since the plan was made changed: {name}; plan again"):
        cycle.apply(judged.target(), SETTINGS, old)


def test_other_settings_and_another_collection_make_a_plan_stale(judged: SampleCollection) -> None:
    plan = make_plan(judged)
    other = SETTINGS.model_copy(update={"solver": SolverSettings(method="nudge-c")})
    changed = replace(cycle.plan(judged.target(), other).inputs, collection="docs_v2")
    with pytest.raises(StalePlan, match="changed: collection, settings; plan again"):
        refuse_stale_plan(plan, changed)


def test_a_collection_that_cannot_be_written_safely_is_not_planned_for(
    judged: SampleCollection,
) -> None:
    target = judged.target()
    coarse = replace(target, facts=replace(target.facts, precision="uint8"))
    with pytest.raises(UnsupportedCollection, match="store it as float32"):
        cycle.plan(coarse, SETTINGS)
