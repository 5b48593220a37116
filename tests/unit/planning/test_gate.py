"""What the gate lets through and what it refuses, with all its reasons, from arrays alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.config import GateSettings
from nudge_sync.planning.gate import (
    TYPICAL_GAIN_DEVIATION,
    CrossFittedGains,
    Drift,
    Gate,
    HeldOutScores,
    check_gate,
    confidence_interval,
    estimate_smallest_gain,
)
from nudge_sync.solve.problem import ColdReport, GainEstimate

SETTINGS = GateSettings(min_queries=50, max_loss=0.01, max_moved_share=0.5)


def make_scores(
    gain: float, *, queries: int = 200, live_gain: float = 0.0, bystanders: float = 0.0
) -> HeldOutScores:
    """Return scores of queries that gain `gain` on average: half of them gain 2 * `gain`."""
    originals = np.full(queries, 0.5)
    after = originals + np.tile([0.0, 2 * gain], queries // 2)
    is_bystander = np.arange(queries) < queries // 10
    after[is_bystander] = originals[is_bystander] + bystanders
    return HeldOutScores(np.arange(queries), originals, originals + live_gain, after, is_bystander)


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


@pytest.mark.parametrize(("confidence", "text"), [(0.999, "99.9%"), (0.975, "97.5%"), (0.9, "90%")])
def test_an_interval_is_named_by_the_confidence_that_was_set(confidence: float, text: str) -> None:
    settings = GateSettings(min_queries=50, confidence=confidence)
    gate = check_gate(
        make_scores(0.1),
        settings,
        method="nudge-n",
        moved_count=1,
        point_count=100,
        cold_report=ColdReport(0.5, *[GainEstimate(-0.00002, -0.00003, -0.00001, 150)] * 2),
    )
    assert gate.passed
    assert gate.reasons[0].count(f"{text} interval") == 2
    assert "change by -0.002 points" in gate.reasons[0]


def test_a_share_beyond_its_limit_reads_as_beyond_it() -> None:
    settings = GateSettings(min_queries=50, max_moved_share=0.0004)
    for count, text in ((4500, "0.045%"), (4004, "0.04004%")):
        gate = check_gate(
            make_scores(0.1), settings, method="nudge-n", moved_count=count, point_count=10_000_000
        )
        said = f"{count} rows are {text} of the collection; gate.max_moved_share is 0.04%"
        assert gate.reasons == [said]


def test_some_points_that_drifted_are_no_objection() -> None:
    assert judge_scores(make_scores(0.1), drift=Drift(50, 25)).passed
    assert judge_scores(make_scores(0.1), drift=Drift(19, 19)).passed


def test_all_reasons_are_given_at_once() -> None:
    assert len(judge_scores(make_scores(-0.1, queries=20, live_gain=0.2), moved=90).reasons) == 4


def test_no_queries_at_all() -> None:
    nobody = HeldOutScores(np.empty(0, int), *(np.empty(0) for _ in range(3)), np.empty(0, bool))
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


@pytest.mark.parametrize("times", [60, 400])
def test_a_gain_of_one_question_that_many_asked_is_no_proof(times: int) -> None:
    questions = np.repeat(np.arange(60), [times, *[1] * 59])
    others = np.random.default_rng(3).normal(0, 0.05, 60)
    gains, nothing = np.where(questions == 0, 0.3, others[questions]), np.zeros(len(questions))
    gate = judge_scores(HeldOutScores(questions, nothing, nothing, gains, nothing > 0))
    assert not gate.passed
    assert gate.gain == pytest.approx(gains.mean())
    assert gate.reasons[0].endswith(f"{times / len(questions):.0%} of the weight is one question's")


@pytest.mark.parametrize("fifths", [1, 5])
def test_the_gate_counts_different_queries(fifths: int) -> None:
    scores = make_scores(0.1)
    repeated = replace(scores, questions=scores.questions % 40)
    gate = judge_scores(repeated)
    if fifths > 1:
        gains = np.tile([0.1, 0.2], 40)
        gate = judge_fifths(scores, gains, questions=np.arange(80) % 40, fifths=fifths)
    assert not gate.passed
    assert gate.queries == 40
    assert gate.reasons[0].startswith("only 40 different ")


def judge_fifths(
    scores: HeldOutScores,
    gains: np.ndarray,
    bystanders: np.ndarray | None = None,
    fifths: int = 5,
    questions: np.ndarray | None = None,
) -> Gate:
    cross_fitted = CrossFittedGains(
        gains,
        np.arange(len(gains)) if questions is None else questions,
        np.zeros(len(gains), bool) if bystanders is None else bystanders,
        fifths,
    )
    return check_gate(
        scores,
        SETTINGS,
        method="nudge-n",
        moved_count=10,
        point_count=100,
        cross_fitted=cross_fitted,
    )


@pytest.mark.parametrize(("fifths", "factor"), [(5, 1.5), (4, np.sqrt(2)), (2, np.sqrt(1.5))])
def test_fifths_that_chose_for_each_other_widen_the_interval(fifths: int, factor: float) -> None:
    gains = np.random.default_rng(1).normal(0.05, 0.2, 80)
    gate = judge_fifths(make_scores(0.1, queries=20), gains, fifths=fifths)
    low, high = confidence_interval(gains, np.arange(80), 0.95)
    margin = factor * (high - low) / 2
    assert gate.interval == pytest.approx((gains.mean() - margin, gains.mean() + margin))
    assert (gate.queries, gate.fifths) == (80, fifths)
    assert gate.gain == pytest.approx(gains.mean())
    smallest = estimate_smallest_gain(80, 0.95, fifths)
    assert smallest == pytest.approx(factor * estimate_smallest_gain(80, 0.95))


def test_all_fifths_decide_but_the_first_alone_is_compared_with_what_is_live() -> None:
    gains = np.tile([0.0, 0.2], 40)
    assert judge_fifths(make_scores(0.1, queries=20), gains).passed
    assert not judge_scores(make_scores(0.1, queries=20)).passed
    (reason,) = judge_fifths(make_scores(0.1, queries=20, live_gain=0.2), gains).reasons
    assert "against what is live now" in reason


def test_too_few_queries_in_all_fifths_are_refused() -> None:
    (reason,) = judge_fifths(make_scores(0.1, queries=10), np.tile([0.1, 0.2], 24)).reasons
    assert "only 48 queries, 5 of 5 fifths of the log held out in turn, have an answer" in reason


def test_bystanders_of_all_fifths_may_lose_no_more_than_is_accepted() -> None:
    gains = np.concatenate([np.full(10, -0.02), np.tile([0.1, 0.2], 40)])
    bystanders = np.arange(len(gains)) < 10
    (reason,) = judge_fifths(make_scores(0.1, queries=20), gains, bystanders).reasons
    assert "10 held-out queries that share no answer with the rest" in reason


def make_cold_report(mean: float, margin: float) -> ColdReport:
    warm, cold = (
        GainEstimate(0.1, 0.05, 0.15, 90),
        GainEstimate(mean, mean - margin, mean + margin, 80),
    )
    return ColdReport(0.5, warm, cold)


def judge_cold(report: ColdReport | None, max_cold_loss: float = 0.01) -> Gate:
    settings = SETTINGS.model_copy(update={"max_cold_loss": max_cold_loss})
    return check_gate(
        make_scores(0.1),
        settings,
        method="nudge-n",
        moved_count=10,
        point_count=100,
        cold_report=report,
    )


@pytest.mark.parametrize(
    ("mean", "margin", "passes"),
    [
        (-0.05, 0.02, False),  # a loss that chance does not explain
        (-0.05, 0.06, True),  # may be nothing at all
        (-0.009, 0.001, True),  # shown, and no more than is accepted
        (-0.011, 0.001, False),
        (-0.011, 0.011, True),  # the interval reaches zero
        (0.03, 0.01, True),
        (-0.05, 2.0, True),  # too few queries tell
    ],
)
def test_a_loss_of_cold_answers_beyond_what_is_accepted_has_to_be_shown(mean, margin, passes):
    assert judge_cold(make_cold_report(mean, margin)).passed == passes


def test_the_refusal_of_a_cold_loss_has_its_figures():
    (reason,) = judge_cold(make_cold_report(-0.05, 0.02), max_cold_loss=0.02).reasons
    assert "answers without feedback change by -5.00 points on average" in reason
    assert "80 held-out queries" in reason
    assert "95% interval -7.00 to -3.00" in reason
    assert "gate.max_cold_loss is 2.00" in reason
    assert judge_cold(make_cold_report(-0.05, 0.02), max_cold_loss=1.0).passed


def test_a_gate_that_passes_says_what_happens_to_cold_answers():
    assert "change by +3.00 points" in judge_cold(make_cold_report(0.03, 0.01)).reasons[0]
    assert "too few held-out queries show" in judge_cold(make_cold_report(0, 1.0)).reasons[0]
    assert "without feedback" not in judge_cold(None).reasons[0]


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_kinder_plan_is_never_refused_where_a_harsher_one_passes(
    mean, margin, max_cold_loss, less_loss, more_allowed
):
    if judge_cold(make_cold_report(mean, margin), max_cold_loss).passed:
        kinder = judge_cold(make_cold_report(mean + less_loss, margin), max_cold_loss)
        looser = judge_cold(make_cold_report(mean, margin), max_cold_loss + more_allowed)
        assert kinder.passed
        assert looser.passed


def test_the_smallest_gain_that_so_many_queries_can_show():
    assert estimate_smallest_gain(1, 0.95) is None
    # Student's t with 99 degrees of freedom is 1.9842 at 95 %: 1.9842 * 0.2 / 10.
    assert estimate_smallest_gain(100, 0.95) == pytest.approx(0.039684, abs=1e-6)
    assert estimate_smallest_gain(400, 0.95) < estimate_smallest_gain(100, 0.95) / 1.9
    assert estimate_smallest_gain(2, 0.999) == 1.0


def test_a_gain_just_above_the_smallest_passes_where_gains_scatter_as_assumed():
    gains = np.random.default_rng(0).normal(size=200)
    gains = TYPICAL_GAIN_DEVIATION * (gains - gains.mean()) / gains.std(ddof=1)
    smallest = estimate_smallest_gain(200, 0.95)
    numbers = np.arange(len(gains))
    assert confidence_interval(gains + 1.001 * smallest, numbers, 0.95)[0] > 0
    assert confidence_interval(gains + 0.999 * smallest, numbers, 0.95)[0] < 0
