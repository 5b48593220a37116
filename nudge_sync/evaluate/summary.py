"""A study in figures: means, gains, their intervals, and how likely chance explains them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nudge_sync.config import MetricName
from nudge_sync.evaluate.methods import EvaluatedMethod
from nudge_sync.evaluate.protocol import ProtocolName
from nudge_sync.evaluate.score import METRICS
from nudge_sync.evaluate.statistics import bootstrap_intervals, holm, permutation_p
from nudge_sync.evaluate.study import Float64, Study

_SEED = 20250424
"""Of the resampling: the same study gives the same figures."""
_SAME = 1e-9
"""Sums of the same numbers in another order differ in the last bits."""


@dataclass(frozen=True, slots=True)
class Gain:
    """What a method adds to the mean of a metric."""

    mean: float
    low: float
    high: float
    p: float
    """Of the paired permutation test against nothing; uncorrected."""


@dataclass(frozen=True, slots=True)
class Line:
    """One method on one test part of one protocol."""

    protocol: ProtocolName
    part: str
    method: EvaluatedMethod
    queries: int
    """Different ones tested, over all seeds."""
    values: Mapping[MetricName, float]
    """Mean over all tested queries of all seeds."""
    gains: Mapping[MetricName, Gain]
    better: int
    """Queries whose metric rose, mean over their seeds."""
    worse: int
    seconds: float
    """Of training and choosing, mean over seeds; the machine decides."""
    parameters: tuple[Mapping[str, Any], ...]
    """What each seed chose."""
    p_corrected: float = 1.0
    """Of the chosen metric, after Holm, for all comparisons of the study."""


def lines(study: Study) -> list[Line]:
    """Every method on every test part, in the order they were asked for."""
    found = [
        line
        for protocol in study.settings.protocols
        for part in study.parts(protocol)
        for line in _part(study, protocol, part)
    ]
    tested = [place for place, line in enumerate(found) if line.method != "nothing"]
    corrected = holm([found[place].gains[study.settings.metric].p for place in tested])
    for place, p in zip(tested, corrected, strict=True):
        found[place] = replace(found[place], p_corrected=p)
    return found


def comparisons(found: Sequence[Line]) -> int:
    """How many tests against nothing the correction is for."""
    return sum(line.method != "nothing" for line in found)


def _part(study: Study, protocol: ProtocolName, part: str) -> list[Line]:
    """One resampling serves all methods and metrics: they are compared on the same draws."""
    methods = study.settings.methods
    gained = [study.gains(protocol, part, method) for method in methods]
    counts = gained[0][1]
    rows = np.flatnonzero(counts)
    totals = [one[rows] for one, _ in gained]
    gains = _gains(study, np.column_stack(totals), counts[rows])
    return [
        _line(study, (protocol, part, method), totals[place], gains[place * len(METRICS) :])
        for place, method in enumerate(methods)
    ]


def _gains(study: Study, totals: Float64, counts: Float64) -> list[Gain]:
    rng = np.random.default_rng(_SEED)
    resamples, confidence = study.settings.resamples, study.settings.confidence
    low, high = bootstrap_intervals(
        totals, counts, rng=rng, confidence=confidence, resamples=resamples
    )
    p = permutation_p(totals, rng=rng, resamples=resamples)
    means = totals.sum(axis=0) / counts.sum()
    return [Gain(*map(float, row)) for row in zip(means, low, high, p, strict=True)]


def _line(
    study: Study,
    place: tuple[ProtocolName, str, EvaluatedMethod],
    totals: Float64,
    gains: Sequence[Gain],
) -> Line:
    protocol, part, method = place
    trials = study.of(protocol, method)
    values = np.concatenate([trial.tests[part][1] for trial in trials]).mean(axis=0)
    chosen = totals[:, METRICS.index(study.settings.metric)]
    return Line(
        protocol=protocol,
        part=part,
        method=method,
        queries=len(totals),
        values=dict(zip(METRICS, map(float, values), strict=True)),
        gains=dict(zip(METRICS, gains, strict=False)),
        better=int((chosen > _SAME).sum()),
        worse=int((chosen < -_SAME).sum()),
        seconds=float(np.mean([trial.seconds for trial in trials])),
        parameters=tuple(trial.parameters for trial in trials),
    )
