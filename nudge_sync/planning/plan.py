"""Which points move, what it gains, and whether it may: arrays in, a plan out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from nudge_sync.config import GateSettings
from nudge_sync.connector import Float32, PointId


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
        """The `gate` field of `plan --json`."""
        return {
            "passed": self.passed,
            "reasons": self.reasons,
            "queries": self.queries,
            "gain": self.gain,
            "interval": list(self.interval),
        }


@dataclass(frozen=True)
class HeldOutScores:
    """What each held-out query scores by the metric asked for: (q,) arrays."""

    original_scores: NDArray[np.float64]
    live_scores: NDArray[np.float64]
    planned_scores: NDArray[np.float64]
    bystanders: NDArray[np.bool_]


@dataclass(frozen=True)
class Plan:
    """Rows to write, what they hold now, and what it is expected to do."""

    collection: str
    head: int
    """The revision that the collection held when the plan was made."""
    feedback: str
    settings: str
    """Digests of the judgements and of the settings that the plan was made from."""
    inputs: str
    """Digest of these and of the originals: everything but the index's answers."""
    metric: str
    method: str
    parameters: dict[str, Any]
    scores: dict[str, float]
    reasons: list[str]
    judged: int
    queries: dict[str, int]
    before: dict[str, float]
    after: dict[str, float]
    originals: dict[str, float]
    found: dict[str, float]
    """What the held-out queries found through the live index when the plan was made."""
    gate: Gate
    ids: list[PointId]
    vectors: Float32
    """(n, d): what each row of `ids` shall hold."""
    live_digests: list[str]
    """Digest of what each row held when the plan was made."""
    angles: list[float]
    """How far each row will be from its original, in radians."""
    live_vectors: Float32 | None = None
    """(n, d): what each row held; not kept in a plan file, where `live` has to do."""
    drifted: list[PointId] = field(default_factory=list)
    missing: list[PointId] = field(default_factory=list)

    @property
    def moved(self) -> int:
        """How many rows will be written."""
        return len(self.ids)

    def summary(self) -> dict[str, Any]:
        """The fields of `plan --json`."""
        return {
            "collection": self.collection,
            "method": self.method,
            "parameters": self.parameters,
            "metric": self.metric,
            "judged": self.judged,
            "moved": self.moved,
            "queries": self.queries,
            "before": self.before,
            "after": self.after,
            "originals": self.originals,
            "found": self.found,
            "scores": self.scores,
            "reasons": self.reasons,
            "largest_angle": max(self.angles, default=0.0),
            "gate": self.gate.summary(),
            "drifted": len(self.drifted),
            "drifted_ids": self.drifted[:1000],
            "missing": len(self.missing),
            "missing_ids": self.missing[:1000],
        }


def check_gate(
    held_out_scores: HeldOutScores,
    settings: GateSettings,
    *,
    method: str,
    moved_count: int,
    point_count: int,
    baseline_requested: bool = False,
) -> Gate:
    """Whether a change may be written, from what held-out queries gain by it.

    It may if there are enough of them, the interval of their mean gain over the originals lies
    above zero, what is live loses nothing beyond `max_loss`, nor do queries that share no judged
    point with the rest, and no more of the collection is written than allowed.
    wished: method "nothing" was asked for, so that going back to the originals needs no proof.
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
        _check_moved_share(moved_count, point_count, settings),
    ]
    reasons = [reason for reason in objections if reason]
    evidence = (
        f"{len(gains)} held-out queries gain {_format_points(_mean(gains))} points on average "
        f"({settings.confidence:.0%} interval {_format_points(low)} to {_format_points(high)})"
    )
    return Gate(not reasons, reasons or [evidence], len(gains), _mean(gains), (low, high))


def confidence_interval(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Student's interval of the mean; without spread, the mean itself twice."""
    if len(values) < 2 or np.ptp(values) == 0:  # noqa: PLR2004
        return _mean(values), _mean(values)
    # Not scipy.stats: importing it takes a quarter of a second.
    half_width = stdtrit(len(values) - 1, (1 + confidence) / 2) * values.std(ddof=1)
    half_width /= np.sqrt(len(values))
    return _mean(values) - float(half_width), _mean(values) + float(half_width)


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _format_points(value: float) -> str:
    return f"{100 * value:+.2f}"


def _check_query_count(query_count: int, settings: GateSettings) -> str:
    if query_count >= settings.min_queries:
        return ""
    return (
        f"only {query_count} held-out queries have an answer and gate.min_queries is "
        f"{settings.min_queries}; collect more feedback"
    )


def _check_gain(
    method: str,
    gains: NDArray[np.float64],
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
    change = _mean(
        (held_out_scores.planned_scores - held_out_scores.original_scores)[
            held_out_scores.bystanders
        ]
    )
    if change >= -settings.max_loss:
        return ""
    return (
        f"{int(held_out_scores.bystanders.sum())} held-out queries that share no answer with the "
        "rest would "
        f"change by {_format_points(change)} points; gate.max_loss is {100 * settings.max_loss:.2f}"
    )


def _check_moved_share(moved_count: int, point_count: int, settings: GateSettings) -> str:
    share = moved_count / max(point_count, 1)
    if share <= settings.max_moved_share:
        return ""
    return (
        f"{moved_count} rows are {share:.1%} of the collection; gate.max_moved_share is "
        f"{settings.max_moved_share:.1%}"
    )


def round_figures(values: Mapping[str, float]) -> dict[str, float]:
    """The same figures to six places, as they are shown and kept."""
    return {name: round(float(value), 6) for name, value in values.items()}
