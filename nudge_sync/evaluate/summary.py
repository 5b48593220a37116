"""A study in figures: means, gains, their intervals, and how likely they are by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nudge_sync.base.arrays import Float64, Int64
from nudge_sync.evaluate.methods import EvaluatedMethod
from nudge_sync.evaluate.protocol import ROBUSTNESS_PROTOCOLS, ProtocolName
from nudge_sync.evaluate.statistics import (
    RESAMPLING_SEED,
    bootstrap_intervals,
    holm,
    permutation_p,
    sum_by_question,
)
from nudge_sync.evaluate.study import Study
from nudge_sync.metrics import METRIC_NAMES, MetricName

_GAIN_TOLERANCE = 1e-9
"""Sums of the same numbers in another order differ in the last bits."""


@dataclass(frozen=True, slots=True)
class Gain:
    """What a method adds to the mean of a metric over another, "nothing" if none is named."""

    mean: float
    low: float
    high: float
    p: float
    """By the paired permutation test, uncorrected."""


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """One method on one test part of one protocol."""

    protocol: ProtocolName
    part: str
    method: EvaluatedMethod
    queries: int
    """How many different queries were tested, over all seeds."""
    values: Mapping[MetricName, float]
    """The mean over all tested queries of all seeds."""
    gains: Mapping[MetricName, Gain]
    better: int
    """How many queries gained in the chosen metric, on the mean of their seeds."""
    worse: int
    """How many queries lost in it."""
    seconds: float
    """How long training and choosing took, the mean over seeds."""
    parameters: tuple[Mapping[str, Any], ...]
    """What each seed chose."""
    p_corrected: float = 1.0
    """The p value of the chosen metric, corrected for all comparisons with "nothing"."""
    over_nudge_n: Gain | None = None
    """The gain over NUDGE-N in the chosen metric, its p corrected for all comparisons with NUDGE-N;
    None where the method is not compared with it."""
    condition: str = ""
    """Of the split; see `Trial`."""

    def shows_difference(self, confidence: float) -> bool:
        """Return whether the chosen metric differs from "nothing", all comparisons considered."""
        return self.p_corrected <= 1 - confidence


def summarise_study(study: Study) -> list[SummaryLine]:
    """Summarise every method on every test part, in the order in which they were asked for."""
    lines = [
        line
        for protocol in study.settings.protocols
        for part in study.part_names(protocol)
        for line in _summarise_part(study, protocol, part)
    ]
    tested_indices = [index for index, line in enumerate(lines) if line.method != "nothing"]
    corrected = holm([lines[index].gains[study.settings.metric].p for index in tested_indices])
    for index, p in zip(tested_indices, corrected, strict=True):
        lines[index] = replace(lines[index], p_corrected=p)
    return _correct_over_nudge_n(lines)


def _correct_over_nudge_n(lines: Sequence[SummaryLine]) -> list[SummaryLine]:
    """Correct the p values of all comparisons with NUDGE-N for their number."""
    p_values = [line.over_nudge_n.p for line in lines if line.over_nudge_n is not None]
    corrected = iter(holm(p_values))
    return [
        line
        if line.over_nudge_n is None
        else replace(line, over_nudge_n=replace(line.over_nudge_n, p=next(corrected)))
        for line in lines
    ]


def count_comparisons(lines: Sequence[SummaryLine]) -> int:
    """Return how many tests against "nothing" the correction is for."""
    return sum(line.method != "nothing" for line in lines)


def _summarise_part(study: Study, protocol: ProtocolName, part: str) -> list[SummaryLine]:
    """Summarise all methods on the same draws, so that they can be compared."""
    methods = study.settings.methods
    sums = [study.sum_gains(protocol, part, method) for method in methods]
    counts = sums[0][1]
    rows = np.flatnonzero(counts)
    totals = [method_totals[rows] for method_totals, _ in sums]
    questions = study.task.number_questions()[rows]
    gains = _estimate_gains(study, np.column_stack(totals), counts[rows], questions)
    lines = [
        _build_line(
            study, (protocol, part, method), totals[index], gains[index * len(METRIC_NAMES) :]
        )
        for index, method in enumerate(methods)
    ]
    if protocol not in ROBUSTNESS_PROTOCOLS:
        return lines
    return _compare_with_nudge_n(study, lines, totals, (counts[rows], questions))


def _compare_with_nudge_n(
    study: Study,
    lines: list[SummaryLine],
    totals: Sequence[Float64],
    tested: tuple[Float64, Int64],
) -> list[SummaryLine]:
    """Add the gain over NUDGE-N to the lines of the other methods that move or map anything.

    tested: how many seeds tested each query, and its question, (q,) each.
    """
    column = METRIC_NAMES.index(study.settings.metric)
    methods = [line.method for line in lines]
    others = [index for index, one in enumerate(methods) if one not in ("nothing", "nudge-n")]
    if "nudge-n" not in methods or not others:
        return lines
    reference = totals[methods.index("nudge-n")][:, column]
    differences = np.column_stack([totals[index][:, column] - reference for index in others])
    compared = list(lines)
    for index, gain in zip(others, _estimate_gains(study, differences, *tested), strict=True):
        compared[index] = replace(lines[index], over_nudge_n=gain)
    return compared


def _estimate_gains(study: Study, totals: Float64, counts: Float64, questions: Int64) -> list[Gain]:
    totals, counts = sum_by_question(totals, questions), sum_by_question(counts, questions)
    rng = np.random.default_rng(RESAMPLING_SEED)
    resamples, confidence = study.settings.resamples, study.settings.confidence
    low, high = bootstrap_intervals(
        totals, counts, rng=rng, confidence=confidence, resamples=resamples
    )
    p = permutation_p(totals, rng=rng, resamples=resamples)
    means = totals.sum(axis=0) / counts.sum()
    return [Gain(*map(float, row)) for row in zip(means, low, high, p, strict=True)]


def _build_line(
    study: Study,
    key: tuple[ProtocolName, str, EvaluatedMethod],
    totals: Float64,
    gains: Sequence[Gain],
) -> SummaryLine:
    protocol, part, method = key
    trials = study.select_trials(protocol, method, part)
    values = np.concatenate([trial.tests[part].values for trial in trials]).mean(axis=0)
    metric_totals = totals[:, METRIC_NAMES.index(study.settings.metric)]
    return SummaryLine(
        protocol=protocol,
        part=part,
        method=method,
        queries=len(totals),
        values=dict(zip(METRIC_NAMES, map(float, values), strict=True)),
        gains=dict(zip(METRIC_NAMES, gains, strict=False)),
        better=int((metric_totals > _GAIN_TOLERANCE).sum()),
        worse=int((metric_totals < -_GAIN_TOLERANCE).sum()),
        seconds=float(np.mean([trial.seconds for trial in trials])),
        parameters=tuple(trial.parameters for trial in trials),
        condition=trials[0].condition,
    )
