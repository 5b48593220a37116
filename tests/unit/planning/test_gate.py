"""What the gate lets through and what it refuses, with all its reasons, from arrays alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nudge_sync.config import GateSettings
from nudge_sync.planning.gate import (
    Drift,
    Gate,
    HeldOutScores,
    check_gate,
    confidence_interval,
)

SETTINGS = GateSettings(min_queries=50, max_loss=0.01, max_moved_share=0.5)


def make_scores(
    gain: float, *, queries: int = 200, live_gain: float = 0.0, bystanders: float = 0.0
) -> HeldOutScores:
    """Return scores of queries that gain `gain` on average: half of them gain 2 * `gain`."""
    originals = np.full(queries, 0.5)
    after = originals + np.tile([0.0, 2 * gain], queries // 2)
    is_bystander = np.arange(queries) < queries // 10
    after[is_bystander] = originals[is_bystander] + bystanders
    return HeldOutScores(originals, originals + live_gain, after, is_bystander)


def judge_scores(
    scores: HeldOutScores, *, method: str = "nudge-n", moved: int = 10, drift: Drift | None = None
) -> Gate:
    return check_gate(
        scores, SETTINGS, method=method, moved_count=moved, point_count=100, drift=drift
    )


def test_a_gain_that_chance_does_not_explain_passes() -> None:
    gate = judge_scores(make_scores(0.1))
    assert gate.passed
    assert gate.queries == 200
    assert gate.interval[0] > 0


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (judge_scores(make_scores(0.1, queries=40)), "only 40 held-out queries"),
        (judge_scores(make_scores(0.0)), "not shown to help"),
        (judge_scores(make_scores(-0.1)), "not shown to help"),
        (judge_scores(make_scores(0.1), method="nothing"), "leaving the originals"),
        (judge_scores(make_scores(0.1, live_gain=0.2)), "against what is live now"),
        (judge_scores(make_scores(0.1, bystanders=-0.05)), "share no answer with the rest"),
        (judge_scores(make_scores(0.1), moved=51), "51.0% of the collection"),
        (judge_scores(make_scores(0.1), drift=Drift(50, 26)), "26 of 50 points"),
    ],
)
def test_everything_else_is_refused_with_its_reason(gate: Gate, reason: str) -> None:
    assert not gate.passed
    assert any(reason in said for said in gate.reasons)


def test_some_points_that_drifted_are_no_objection() -> None:
    assert judge_scores(make_scores(0.1), drift=Drift(50, 25)).passed
    assert judge_scores(make_scores(0.1), drift=Drift(19, 19)).passed


def test_all_reasons_are_given_at_once() -> None:
    assert len(judge_scores(make_scores(-0.1, queries=20, live_gain=0.2), moved=90).reasons) == 4


def test_no_queries_at_all() -> None:
    nobody = HeldOutScores(*(np.empty(0) for _ in range(3)), np.empty(0, bool))
    assert "only 0 held-out queries" in judge_scores(nobody).reasons[0]


def test_going_back_on_request_needs_no_proof() -> None:
    assert check_gate(
        make_scores(-0.1),
        SETTINGS,
        method="nothing",
        moved_count=90,
        point_count=100,
        baseline_requested=True,
    ).passed


def test_the_interval_is_students() -> None:
    values = np.random.default_rng(0).normal(0.02, 0.3, 500)
    expected = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    assert confidence_interval(values, 0.95) == pytest.approx(expected)
    assert confidence_interval(np.full(9, 0.25), 0.95) == (0.25, 0.25)
