"""The gate: whether a change may be written, from what held-out queries gain by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from nudge_sync.base.arrays import Float64
from nudge_sync.config import GateSettings
from nudge_sync.solve.problem import ColdReport, GainEstimate

TYPICAL_GAIN_DEVIATION = 0.2
"""Standard deviation of a query's gain, assumed where there is no plan yet to measure it by;
`benchmarks/calibration.py` prints that of real collections."""
_FEWEST_DRIFTED = 20
"""Drifted points that are too few to say what happened."""


@dataclass(frozen=True)
class Gate:
    """Whether a change may be written."""

    passed: bool
    reasons: list[str]
    """Why not, or what it passed on: each a sentence with its figures."""
    queries: int = 0
    gain: float = 0.0
    """Mean held-out gain over the originals, by the metric asked for."""
    interval: tuple[float, float] = (0.0, 0.0)

    def summary(self) -> dict[str, Any]:
        """Return the `gate` field of `plan --json`."""
        return {
            "passed": self.passed,
            "reasons": self.reasons,
            "queries": self.queries,
            "gain": self.gain,
            "interval": list(self.interval),
        }


@dataclass(frozen=True)
class HeldOutScores:
    """What each held-out query scores by the metric asked for; every array is (q,)."""

    original_scores: Float64
    """With every point at its original."""
    live_scores: Float64
    """With the vectors that are live now."""
    planned_scores: Float64
    """With the vectors of the plan."""
    bystanders: NDArray[np.bool_]
    """Queries that share no relevant point with any query that chose."""


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
    """
    if baseline_requested:
        return Gate(passed=True, reasons=['method "nothing" was asked for'])
    gains = held_out_scores.planned_scores - held_out_scores.original_scores
    low, high = confidence_interval(gains, settings.confidence)
    objections = [
        _check_query_count(len(gains), settings),
        _check_gain(method, gains, low, high, settings),
        _check_live_loss(held_out_scores, settings),
        _check_bystander_loss(held_out_scores, settings),
        _check_cold_loss(cold_report, settings),
        _check_moved_share(moved_count, point_count, settings),
        _check_drift(drift or Drift(), settings),
    ]
    reasons = [reason for reason in objections if reason]
    evidence = (
        f"{len(gains)} held-out queries gain {_format_points(_mean(gains))} points on average "
        f"({settings.confidence:.0%} interval {_format_points(low)} to {_format_points(high)})"
    )
    if cold_report is not None:
        evidence += f"; {_describe_cold_change(cold_report.cold, settings)}"
    return Gate(not reasons, reasons or [evidence], len(gains), _mean(gains), (low, high))


def confidence_interval(values: Float64, confidence: float) -> tuple[float, float]:
    """Return Student's interval of the mean; where all values are equal, that value twice."""
    if len(values) < 2 or np.ptp(values) == 0:  # noqa: PLR2004
        return _mean(values), _mean(values)
    # Not scipy.stats: importing it takes a quarter of a second.
    quantile = stdtrit(len(values) - 1, (1 + confidence) / 2)
    half_width = float(quantile * values.std(ddof=1) / np.sqrt(len(values)))
    return _mean(values) - half_width, _mean(values) + half_width


def estimate_smallest_gain(query_count: int, confidence: float) -> float | None:
    """Return about the smallest mean gain whose interval lies above zero; None below two queries.

    That is Student's t s / sqrt(n) for n held-out queries and s = `TYPICAL_GAIN_DEVIATION`.
    """
    if query_count < 2:  # noqa: PLR2004
        return None
    quantile = float(stdtrit(query_count - 1, (1 + confidence) / 2))
    return min(quantile * TYPICAL_GAIN_DEVIATION / float(np.sqrt(query_count)), 1.0)


def _mean(values: Float64) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _format_points(value: float) -> str:
    return f"{100 * value:+z.2f}"


def _check_query_count(query_count: int, settings: GateSettings) -> str:
    if query_count >= settings.min_queries:
        return ""
    return (
        f"only {query_count} held-out queries have an answer and gate.min_queries is "
        f"{settings.min_queries}; collect more feedback"
    )


def _check_gain(
    method: str,
    gains: Float64,
    low: float,
    high: float,
    settings: GateSettings,
) -> str:
    if method == "nothing":
        return "no method did better than leaving the originals as they are"
    if low > 0:
        return ""
    return (
        f"held-out queries gain {_format_points(_mean(gains))} points on average, but the "
        f"{settings.confidence:.0%} interval {_format_points(low)} to {_format_points(high)} does "
        "not lie above zero: not shown to help"
    )


def _check_live_loss(held_out_scores: HeldOutScores, settings: GateSettings) -> str:
    change = _mean(held_out_scores.planned_scores - held_out_scores.live_scores)
    if change >= -settings.max_loss:
        return ""
    return (
        f"held-out queries would change by {_format_points(change)} points against what is live now"
    )


def _check_bystander_loss(held_out_scores: HeldOutScores, settings: GateSettings) -> str:
    gains = held_out_scores.planned_scores - held_out_scores.original_scores
    change = _mean(gains[held_out_scores.bystanders])
    if change >= -settings.max_loss:
        return ""
    return (
        f"{int(held_out_scores.bystanders.sum())} held-out queries that share no answer with the "
        f"rest would change by {_format_points(change)} points; gate.max_loss is "
        f"{100 * settings.max_loss:.2f}"
    )


def _check_cold_loss(report: ColdReport | None, settings: GateSettings) -> str:
    """Object to a mean loss beyond `max_cold_loss` that is more than chance: all below zero."""
    if report is None or report.cold.mean >= -settings.max_cold_loss or report.cold.high >= 0:
        return ""
    return (
        f"{_describe_cold_change(report.cold, settings)}; gate.max_cold_loss is "
        f"{100 * settings.max_cold_loss:.2f}: points that move push points without feedback out "
        'of the results; solver.method = "auto" looks for a way that does not'
    )


def _describe_cold_change(cold: GainEstimate, settings: GateSettings) -> str:
    """Say what happens to answers without feedback, as far as the held-out queries show it."""
    if not cold.is_known:
        return "too few held-out queries show what happens to answers without feedback"
    return (
        f"answers without feedback change by {_format_points(cold.mean)} points on average "
        f"({cold.queries} held-out queries whose answers had theirs hidden, "
        f"{settings.confidence:.0%} interval {_format_points(cold.low)} to "
        f"{_format_points(cold.high)})"
    )


def _check_moved_share(moved_count: int, point_count: int, settings: GateSettings) -> str:
    share = moved_count / max(point_count, 1)
    if share <= settings.max_moved_share:
        return ""
    return (
        f"{moved_count} rows are {share:.1%} of the collection; gate.max_moved_share is "
        f"{settings.max_moved_share:.1%}"
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
