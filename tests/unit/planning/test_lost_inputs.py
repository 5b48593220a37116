"""A plan that was a loss on the live index is not written again; other plans are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nudge_sync import cycle
from nudge_sync.errors import StalePlan
from nudge_sync.planning.plan import Plan
from nudge_sync.store.hold import read_hold
from nudge_sync.writing.rollback import roll_back
from tests.support.sample_collection import SETTINGS, SampleCollection, open_sample_collection


def lose(plan: Plan) -> Plan:
    """Return the plan with its vectors turned round: nobody will find these points any more."""
    return replace(plan, rows=replace(plan.rows, vectors=-plan.rows.vectors))


@pytest.fixture
def sample_collection(tmp_path: Path) -> Iterator[SampleCollection]:
    with open_sample_collection("memory", tmp_path) as sample:
        yield sample


@pytest.fixture
def lost_plan(sample_collection: SampleCollection) -> Plan:
    """Write a plan that turns out a loss on the live index, and return it."""
    sample_collection.add_judgements(range(600))
    plan = lose(cycle.plan(sample_collection.target(), SETTINGS))
    assert cycle.apply(sample_collection.target(), SETTINGS, plan).outcome == "rolled_back"
    return plan


def test_the_next_cycle_refuses_what_it_would_be_made_from(
    sample_collection: SampleCollection, lost_plan: Plan
) -> None:
    before = sample_collection.read_vectors().tobytes()
    assert lost_plan.gate.passed
    for _ in range(2):
        report = cycle.apply(sample_collection.target(), SETTINGS)
        assert report.outcome == "refused"
        assert "revision 1, made from the same feedback and settings, was a loss" in report.reason
        assert report.revision is None
    assert sample_collection.read_vectors().tobytes() == before
    # The gate's own rollback does not put the collection on hold.
    assert read_hold(sample_collection.target()) is None


def test_its_plan_file_is_refused_as_well(
    sample_collection: SampleCollection, lost_plan: Plan
) -> None:
    with pytest.raises(StalePlan, match="nothing was written: revision 1, made from the same"):
        cycle.apply(sample_collection.target(), SETTINGS, lost_plan)


def test_other_feedback_or_settings_are_tried(
    sample_collection: SampleCollection, lost_plan: Plan
) -> None:
    other = SETTINGS.model_copy(
        update={"solver": SETTINGS.solver.model_copy(update={"max_angle": 0.5})}
    )
    assert cycle.plan(sample_collection.target(), other).gate.passed
    sample_collection.add_judgements(range(600, 900))
    report = cycle.apply(sample_collection.target(), SETTINGS)
    assert report.outcome == "applied"


def test_measured_against_other_vectors_it_may_be_a_gain(
    sample_collection: SampleCollection,
) -> None:
    sample_collection.add_judgements(range(300))
    assert cycle.apply(sample_collection.target(), SETTINGS).outcome == "applied"
    sample_collection.add_judgements(range(300, 900))
    plan = lose(cycle.plan(sample_collection.target(), SETTINGS))
    assert cycle.apply(sample_collection.target(), SETTINGS, plan).outcome == "rolled_back"
    assert not cycle.plan(sample_collection.target(), SETTINGS).gate.passed
    roll_back(sample_collection.target(), SETTINGS, originals=True)
    assert cycle.plan(sample_collection.target(), SETTINGS).gate.passed
