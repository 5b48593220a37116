"""The gate: whether a change may be written, from what held-out queries gain by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from nudge_sync.base.arrays import Float64, Int64
from nudge_sync.base.text.percent import (
    format_exact_percent,
    format_number,
    format_percent,
    format_points,
)
from nudge_sync.config import GateSettings
from nudge_sync.planning.fifths import FIFTH_COUNT
from nudge_sync.planning.held_out import HELD_OUT_SHARE
from nudge_sync.solve.problem import ColdReport, GainEstimate
from nudge_sync.solve.selection.strata import estimate_gain

TYPICAL_GAIN_DEVIATION = 0.2
"""Standard deviation of a query's gain, assumed where there is no plan yet to measure it by;
`benchmarks/calibration.py` prints that of real collections."""
_FEWEST_DRIFTED = 20
"""Drifted points that are too few to say what happened."""
_LARGE_QUESTION_SHARE = 0.2
"""Share of the queries above which a single question is named as a reason for a wide interval."""


@dataclass(frozen=True)
class Gate:
    """Whether a change may be written."""

    passed: bool
    reasons: list[str]
    """Why not, or what it passed on: each a sentence with its figures."""
    queries: int = 0
    """How many different held-out queries it rests on."""
    gain: float = 0.0
    """Mean held-out gain over the originals, by the metric asked for."""
    interval: tuple[float, float] = (0.0, 0.0)
    fifths: int = 1
    """How many fifths of the log these queries are, each scored by what the others chose."""

    def summary(self) -> dict[str, Any]:
        """Return the `gate` field of `plan --json`."""
        return {
            "passed": self.passed,
            "reasons": self.reasons,
            "queries": self.queries,
            "gain": self.gain,
            "interval": list(self.interval),
            "fifths": self.fifths,
        }


@dataclass(frozen=True)
class HeldOutScores:
    """What each held-out query scores by the metric asked for; every array is (q,)."""

    questions: Int64
    """The number of each query's question, as `number_questions` gives it."""
    original_scores: Float64
    """With every point at its original."""
    live_scores: Float64
    """With the vectors that are live now."""
    planned_scores: Float64
    """With the vectors of the plan."""
    bystanders: NDArray[np.bool_]
    """Queries that share no relevant point with any query that chose."""


@dataclass(frozen=True)
class CrossFittedGains:
    """What the queries of several fifths gain, each fifth by vectors that it chose nothing of."""

    gains: Float64
    """(q,): over the originals, by the metric asked for."""
    questions: Int64
    """(q,): the number of each query's question, as `number_questions` gives it."""
    bystanders: NDArray[np.bool_]
    """(q,): queries that share no relevant point with any query that chose for them."""
    fifths: int
    """How many fifths these are, two at least."""


@dataclass(frozen=True)
class Drift:
    """Points that were ever moved and exist, and those of them whose vector nobody knows."""

    moved: int = 0
    drifted: int = 0


def check_gate(
    held_out_scores: HeldOutScores,
    settings: GateSettings,
    *,
    method: str,
    moved_count: int,
    point_count: int,
    drift: Drift | None = None,
    baseline_requested: bool = False,
    cold_report: ColdReport | None = None,
    cross_fitted: CrossFittedGains | None = None,
) -> Gate:
    """Decide whether a change may be written.

    It may if there are enough held-out queries, if the interval of their mean gain over the
    originals lies above zero, if they lose no more than `max_loss` against the live vectors, if
    bystanders lose no more than that against the originals, if answers without feedback are not
    shown to lose more than `max_cold_loss`, if no larger share of the collection is written than
    allowed, and if no larger share of what was moved has drifted.
    cold_report: None where answers without feedback are not looked at.
    baseline_requested: method "nothing" was asked for, so going back to the originals needs no
    proof.
    cross_fitted: on a small log, what queries of other fifths gain too. The number of queries, the
    interval and the loss of bystanders are then theirs; the live vectors were trained on queries of
    the other fifths, and are compared on the first alone.
    """
    if baseline_requested:
        return Gate(passed=True, reasons=['method "nothing" was asked for'])
    evidence = _weigh_evidence(held_out_scores, cross_fitted, settings.confidence)
    objections = [
        _check_query_count(evidence, settings),
        _check_gain(method, evidence, settings),
        _check_live_loss(held_out_scores, settings),
        _check_bystander_loss(evidence, settings),
        _check_cold_loss(cold_report, settings),
        _check_moved_share(moved_count, point_count, settings),
        _check_drift(drift or Drift(), settings),
    ]
    reasons = [reason for reason in objections if reason]
    proof = f"{evidence.queries} gain {_describe_gain(evidence, settings)}"
    if cold_report is not None:
        proof += f"; {_describe_cold_change(cold_report.cold, settings)}"
    return Gate(
        not reasons,
        reasons or [proof],
        evidence.question_count,
        _mean(evidence.gains),
        evidence.interval,
        evidence.fifths,
    )


@dataclass(frozen=True)
class _Evidence:
    """What queries gain that chose nothing, and how sure their mean is."""

    gains: Float64
    question_count: int
    interval: tuple[float, float]
    bystander_gains: Float64
    fifths: int
    largest_share: float
    """The share of the queries that ask the question asked most often; 0 without any."""

    @property
    def queries(self) -> str:
        """Which queries these are, in words."""
        repeated = len(self.gains) > self.question_count
        counted = f"{self.question_count} different" if repeated else f"{self.question_count}"
        if self.fifths == 1:
            return f"{counted} held-out queries"
        return (
            f"{counted} queries, {self.fifths} of {FIFTH_COUNT} fifths of the log held out in turn,"
        )


def _weigh_evidence(
    scores: HeldOutScores, cross_fitted: CrossFittedGains | None, confidence: float
) -> _Evidence:
    if cross_fitted is None:
        gains = scores.planned_scores - scores.original_scores
        questions, bystanders, fifths = scores.questions, scores.bystanders, 1
    else:
        gains, questions = cross_fitted.gains, cross_fitted.questions
        bystanders, fifths = cross_fitted.bystanders, cross_fitted.fifths
    interval = confidence_interval(gains, questions, confidence, fifths)
    sizes = np.unique(questions, return_counts=True)[1]
    largest_share = float(sizes.max() / len(questions)) if len(questions) else 0.0
    return _Evidence(gains, len(sizes), interval, gains[bystanders], fifths, largest_share)


def confidence_interval(
    gains: Float64, questions: Int64, confidence: float, fifths: int = 1
) -> tuple[float, float]:
    """Return Student's interval of the mean gain, in which each question is one observation.

    gains, questions: (q,). The mean is over queries, so that a question weighs as much as it was
    asked; where few questions have most of the weight, the interval is as wide as if there were
    only those. A single question says nothing of others: -1 to 1.
    fifths: how many fifths of the log the gains are from, each scored by vectors that the others
    chose; see `inflate_variance`.
    """
    estimate = estimate_gain(gains, questions, confidence, inflate_variance(fifths))
    return estimate.low, estimate.high


def inflate_variance(fifths: int) -> float:
    """Return by how much the variance of a mean exceeds that of independent queries.

    The means of J fifths are not independent: three quarters of what chose for one chose for
    another. With n_1 = 4 / 5 of the queries choosing and n_2 = 1 / 5 held out, the variance is
    (1 / J + n_2 / n_1) times that of one fifth's mean, which is 1 + J / 4 times s^2 / n: Nadeau and
    Bengio, "Inference for the generalization error" (Machine Learning, 2003). A single fifth is
    measured for its own vectors alone: 1.
    """
    return 1.0 if fifths == 1 else 1 + fifths * HELD_OUT_SHARE / (1 - HELD_OUT_SHARE)


def estimate_smallest_gain(query_count: int, confidence: float, fifths: int = 1) -> float | None:
    """Return about the smallest mean gain whose interval lies above zero; None below two queries.

    That is Student's t s / sqrt(n) for n held-out queries and s = `TYPICAL_GAIN_DEVIATION`, times
    the root of `inflate_variance`.
    """
    if query_count < 2:  # noqa: PLR2004
        return None
    quantile = float(stdtrit(query_count - 1, (1 + confidence) / 2))
    error = TYPICAL_GAIN_DEVIATION * float(np.sqrt(inflate_variance(fifths) / query_count))
    return min(quantile * error, 1.0)


def _mean(values: Float64) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _format_points(value: float) -> str:
    return format_points(value, 2)


def _describe_gain(evidence: _Evidence, settings: GateSettings) -> str:
    low, high = evidence.interval
    return (
        f"{_format_points(_mean(evidence.gains))} points on average "
        f"({format_exact_percent(settings.confidence)} "
        f"interval {_format_points(low)} to {_format_points(high)})"
    )


def _check_query_count(evidence: _Evidence, settings: GateSettings) -> str:
    if evidence.question_count >= settings.min_queries:
        return ""
    return (
        f"only {evidence.queries} have an answer and gate.min_queries is "
        f"{settings.min_queries}; collect more feedback"
    )


def _check_gain(method: str, evidence: _Evidence, settings: GateSettings) -> str:
    if method == "nothing":
        return "no method did better than leaving the originals as they are"
    if evidence.interval[0] > 0:
        return ""
    reason = (
        f"{evidence.queries} gain {_describe_gain(evidence, settings)}, but the interval does not "
        "lie above zero: not shown to help"
    )
    if evidence.largest_share <= _LARGE_QUESTION_SHARE:
        return reason
    return f"{reason}; {format_percent(evidence.largest_share)} of the weight is one question's"


def _check_live_loss(held_out_scores: HeldOutScores, settings: GateSettings) -> str:
    change = _mean(held_out_scores.planned_scores - held_out_scores.live_scores)
    if change >= -settings.max_loss:
        return ""
    return (
        f"held-out queries would change by {_format_points(change)} points against what is live now"
    )


def _check_bystander_loss(evidence: _Evidence, settings: GateSettings) -> str:
    change = _mean(evidence.bystander_gains)
    if change >= -settings.max_loss:
        return ""
    return (
        f"{len(evidence.bystander_gains)} held-out queries that share no answer with the "
        f"rest would change by {_format_points(change)} points; gate.max_loss is "
        f"{format_number(100 * settings.max_loss, 2)}"
    )


def _check_cold_loss(report: ColdReport | None, settings: GateSettings) -> str:
    """Object to a mean loss beyond `max_cold_loss` that is more than chance: all below zero."""
    if report is None or report.cold.mean >= -settings.max_cold_loss or report.cold.high >= 0:
        return ""
    return (
        f"{_describe_cold_change(report.cold, settings)}; gate.max_cold_loss is "
        f"{format_number(100 * settings.max_cold_loss, 2)}: points that move push points "
        'without feedback out of the results; solver.method = "auto" looks for a way that does not'
    )


def _describe_cold_change(cold: GainEstimate, settings: GateSettings) -> str:
    """Say what happens to answers without feedback, as far as the held-out queries show it."""
    if not cold.is_known:
        return "too few held-out queries show what happens to answers without feedback"
    return (
        f"answers without feedback change by {_format_points(cold.mean)} points on average "
        f"({cold.queries} held-out queries whose answers had theirs hidden, "
        f"{format_exact_percent(settings.confidence)} interval {_format_points(cold.low)} to "
        f"{_format_points(cold.high)})"
    )


def _check_moved_share(moved_count: int, point_count: int, settings: GateSettings) -> str:
    share = moved_count / max(point_count, 1)
    if share <= settings.max_moved_share:
        return ""
    return (
        f"{moved_count} rows are {format_percent(share, 1, settings.max_moved_share)} of the "
        f"collection; gate.max_moved_share is {format_exact_percent(settings.max_moved_share)}"
    )


def _check_drift(drift: Drift, settings: GateSettings) -> str:
    share = drift.drifted / max(drift.moved, 1)
    if drift.drifted < _FEWEST_DRIFTED or share <= settings.max_drifted_share:
        return ""
    return (
        f"{drift.drifted} of {drift.moved} points that were moved hold vectors that are neither "
        "their originals nor any that is kept: either a backup was restored, or everything was "
        "embedded again. After a restore, `nudge-sync rollback --originals --drifted` puts their "
        "originals back; set gate.max_drifted_share to 1 to take what they hold as new originals"
    )
