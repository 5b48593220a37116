"""Documents without feedback are not pushed out: the choice looks for a way, the gate refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings, GateSettings, SolverSettings
from nudge_sync.cycle import CycleReport
from nudge_sync.planning.plan_file import load_plan, save_plan
from nudge_sync.store.target import Target
from tests.support.cold.hub_collection import open_hub_collection

ENGINES = ("memory", "qdrant-edge")


def make_settings(max_cold_loss: float = 0.01, **solver: object) -> CollectionSettings:
    return CollectionSettings(
        solver=SolverSettings(threads=1, **solver),
        gate=GateSettings(min_queries=20, max_cold_loss=max_cold_loss),
    )


@pytest.fixture(params=ENGINES)
def target(request: pytest.FixtureRequest, tmp_path: Path):
    """A collection on which NUDGE-N gains on documents with feedback at the cost of others."""
    with open_hub_collection(request.param, tmp_path) as opened:
        yield opened


HARMFUL = {"method": "nudge-n", "cold_share": 0.05}


def apply_and_compare(target: Target, settings: CollectionSettings) -> tuple[CycleReport, int]:
    """Return the report of a cycle, and how many vectors it changed."""
    ids = list(range(target.facts.points))
    before = target.collection.read(ids).vectors
    report = cycle.apply(target, settings)
    return report, int((target.collection.read(ids).vectors != before).any(axis=1).sum())


def test_a_plan_that_pushes_cold_documents_out_is_refused(target: Target):
    report, changed = apply_and_compare(target, make_settings(**HARMFUL))
    assert (report.outcome, report.revision, changed) == ("refused", None, 0)
    cold = report.plan.figures.cold
    assert report.plan.gate.gain > 0.01
    assert cold.warm.mean > 0
    assert cold.cold.high < 0
    assert f"change by {100 * cold.cold.mean:+.2f} points" in report.reason
    assert "gate.max_cold_loss is 1.00" in report.reason


def test_the_default_finds_a_way_that_does_not(target: Target):
    report, changed = apply_and_compare(target, make_settings())
    assert report.outcome == "applied"
    assert changed > 100
    cold = report.plan.figures.cold
    assert (cold.share, cold.source) == (0.5, "assumed")
    assert cold.cold.mean > -0.01
    assert report.plan.figures.after["ndcg@10"] > report.plan.figures.before["ndcg@10"] + 0.02
    # What the ledger keeps is what was said, and the next cycle says it again.
    entry = target.open_ledger().read_entry(report.revision)
    assert entry.summary()["plan"]["cold"] == report.summary()["cold"]
    again = cycle.apply(target, make_settings())
    assert (again.outcome, again.summary()["cold"]) == ("unchanged", report.summary()["cold"])


@pytest.mark.parametrize(
    "settings",
    [
        make_settings(method="nudge-n", cold_share="off"),
        make_settings(max_cold_loss=1.0, **HARMFUL),
    ],
    ids=["off", "all allowed"],
)
def test_harm_to_cold_documents_can_be_accepted(target: Target, settings: CollectionSettings):
    report, _ = apply_and_compare(target, settings)
    assert report.outcome == "applied"


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_summaries_and_files_hold_numbers_and_null(target: Target, tmp_path: Path):
    plan = cycle.plan(target, make_settings(method="nudge-h"))
    text = json.dumps(plan.summary(), allow_nan=False)
    assert json.loads(text)["cold"]["cold"].keys() == {"mean", "low", "high", "queries"}
    save_plan(plan, tmp_path / "plan.jsonl")
    header = (tmp_path / "plan.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert json.loads(header, parse_constant=refuse_constant)["format"] == "nudge-sync plan 4"
    assert load_plan(tmp_path / "plan.jsonl").figures == plan.figures


def test_where_too_few_queries_tell_the_interval_is_unknown(tmp_path: Path):
    with open_hub_collection("memory", tmp_path, answered=1) as one_answer:
        plan = cycle.plan(one_answer, make_settings(method="nudge-n", angle=0.3))
    summary = json.loads(json.dumps(plan.summary(), allow_nan=False))
    assert summary["cold"]["cold"]["low"] is None
    assert summary["cold"]["cold"]["high"] is None


def test_a_revision_from_before_is_planned_again_and_stays_readable(target: Target):
    """The ledger of an older version holds no word of cold answers."""
    settings = make_settings(method="nudge-h")
    report = cycle.apply(target, settings)
    ledger = target.open_ledger()
    entry = ledger.read_entry(report.revision)
    older = {name: value for name, value in entry.details.plan.items() if name != "cold"}
    ledger.add_details(entry, plan=older)
    plan = cycle.plan(target, settings)
    assert (len(plan.rows), plan.figures.cold) == (0, None)
    assert plan.summary()["cold"] is None


def test_nonsense_in_a_revision_is_not_believed(tmp_path: Path):
    settings = make_settings(method="nudge-h")
    with open_hub_collection("memory", tmp_path) as target:
        report = cycle.apply(target, settings)
        ledger = target.open_ledger()
        for nonsense in (3, [], {"share": 9}, {"share": 0.5, "source": 1}):
            entry = ledger.read_entry(report.revision)
            ledger.add_details(entry, plan={**entry.details.plan, "cold": nonsense})
            plan = cycle.plan(target, settings)
            assert not plan.figures.reasons[0].startswith("nothing changed since")
            assert plan.figures.cold == report.plan.figures.cold
