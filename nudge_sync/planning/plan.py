"""Which points move, what it gains, and whether it may: arrays in, a plan out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

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
class Held:
    """What each held-out query scores by the metric asked for: (q,) arrays."""

    originals: NDArray[np.float64]
    live: NDArray[np.float64]
    after: NDArray[np.float64]
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
    live: list[str]
    """Digest of what each row held when the plan was made."""
    angles: list[float]
    """How far each row will be from its original, in radians."""
    held: Float32 | None = None
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


def judge(
    held: Held,
    settings: GateSettings,
    *,
    method: str,
    moved: int,
    points: int,
    wished: bool = False,
) -> Gate:
    """Whether a change may be written, from what held-out queries gain by it.

    It may if there are enough of them, the interval of their mean gain over the originals lies
    above zero, what is live loses nothing beyond `max_loss`, nor do queries that share no judged
    point with the rest, and no more of the collection is written than allowed.
    wished: method "nothing" was asked for, so that going back to the originals needs no proof.
    """
    if wished:
        return Gate(passed=True, reasons=['method "nothing" was asked for'])
    gains = held.after - held.originals
    low, high = interval(gains, settings.confidence)
    checks = [
        _enough(len(gains), settings),
        _helps(method, gains, low, high, settings),
        _keeps(held, settings),
        _spares(held, settings),
        _share(moved, points, settings),
    ]
    refused = [reason for reason in checks if reason]
    shown = (
        f"{len(gains)} held-out queries gain {_points(_mean(gains))} points on average "
        f"({settings.confidence:.0%} interval {_points(low)} to {_points(high)})"
    )
    return Gate(not refused, refused or [shown], len(gains), _mean(gains), (low, high))


def interval(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Student's interval of the mean; without spread, the mean itself twice."""
    if len(values) < 2 or np.ptp(values) == 0:  # noqa: PLR2004
        return _mean(values), _mean(values)
    found = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    return float(found.low), float(found.high)


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"


def _enough(queries: int, settings: GateSettings) -> str:
    if queries >= settings.min_queries:
        return ""
    return (
        f"only {queries} held-out queries have an answer and gate.min_queries is "
        f"{settings.min_queries}; collect more feedback"
    )


def _helps(
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
        f"held-out queries gain {_points(_mean(gains))} points on average, but the "
        f"{settings.confidence:.0%} interval {_points(low)} to {_points(high)} does not lie above "
        "zero: not shown to help"
    )


def _keeps(held: Held, settings: GateSettings) -> str:
    change = _mean(held.after - held.live)
    if change >= -settings.max_loss:
        return ""
    return f"held-out queries would change by {_points(change)} points against what is live now"


def _spares(held: Held, settings: GateSettings) -> str:
    change = _mean((held.after - held.originals)[held.bystanders])
    if change >= -settings.max_loss:
        return ""
    return (
        f"{int(held.bystanders.sum())} held-out queries that share no answer with the rest would "
        f"change by {_points(change)} points; gate.max_loss is {100 * settings.max_loss:.2f}"
    )


def _share(moved: int, points: int, settings: GateSettings) -> str:
    share = moved / max(points, 1)
    if share <= settings.max_moved_share:
        return ""
    return (
        f"{moved} rows are {share:.1%} of the collection; gate.max_moved_share is "
        f"{settings.max_moved_share:.1%}"
    )


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """The same figures to six places, as they are shown and kept."""
    return {name: round(float(value), 6) for name, value in values.items()}
