"""Compare methods on validation values of two kinds: of warm answers and of cold ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from nudge_sync.base.arrays import Float64
from nudge_sync.solve.problem import ColdReport, GainEstimate
from nudge_sync.solve.task import SolverTask, ValidationSplit

INTERVAL_QUANTILE = 0.975
"""Upper quantile of a two-sided 95 % interval."""


@dataclass(frozen=True)
class Strata:
    """Which validation values are those of cold answers, and how much they count."""

    is_cold: NDArray[np.bool_]
    """(v,)"""
    cold_share: float
    """0 to 1, the weight of the mean over cold answers; that over warm ones has the rest."""

    def get_weights(self) -> Float64:
        """Return the weight of each value, (v,), with mean 1: all 1 unless there are both kinds."""
        count, cold_count = len(self.is_cold), int(self.is_cold.sum())
        if cold_count in {0, count}:
            return np.ones(count)
        cold_weight = self.cold_share * count / cold_count
        warm_weight = (1 - self.cold_share) * count / (count - cold_count)
        return np.where(self.is_cold, cold_weight, warm_weight)

    def average(self, values: Float64) -> float:
        """Return the weighted mean of the values, (v,)."""
        return float((values * self.get_weights()).mean())

    def estimate_error(self, values: Float64) -> float:
        """Return the standard error of the weighted mean; nan for one value of a kind.

        The two kinds are taken as independent samples.
        """
        weighted, variance = values * self.get_weights(), 0.0
        for kind in (self.is_cold, ~self.is_cold):
            part = weighted[kind]
            if len(part):
                variance += part.var(ddof=1) * len(part) if len(part) > 1 else np.nan
        return float(np.sqrt(variance) / len(values))

    def is_ahead(self, values: Float64, others: Float64, errors: float) -> bool:
        """Tell whether `values` beat `others` by more than `errors` standard errors of the mean.

        values, others: (v,), of the same queries; the standard error is that of their differences.
        """
        difference = values - others
        if len(difference) <= 1:
            return False
        mean = self.average(difference)
        return bool(mean > errors * self.estimate_error(difference) and mean > 0)


def build_strata(task: SolverTask, splits: list[ValidationSplit]) -> Strata:
    """Return which of the values that are measured on `splits` belong to cold answers."""
    kinds = [np.empty(0, np.bool_)]
    for split in splits:
        warm_count = int(split.validation.sum())
        cold_count = 0 if split.cold_validation is None else int(split.cold_validation.sum())
        kinds.append(np.arange(warm_count + cold_count) >= warm_count)
    return Strata(np.concatenate(kinds), task.cold_share or 0.0)


def report_cold(strata: Strata, values: Float64, baseline_values: Float64) -> ColdReport:
    """Report the gain of `values` over `baseline_values`, (v,) each, on warm and cold answers."""
    gains = values - baseline_values
    warm, cold = (_estimate_gain(gains[kind]) for kind in (~strata.is_cold, strata.is_cold))
    return ColdReport(strata.cold_share, warm, cold)


def _estimate_gain(gains: Float64) -> GainEstimate:
    """Return the mean gain with Student's interval, which is unbounded for fewer than two."""
    count = len(gains)
    if count <= 1:
        return GainEstimate(float(gains.sum()), -np.inf, np.inf, count)
    mean, error = float(gains.mean()), float(gains.std(ddof=1)) / np.sqrt(count)
    margin = float(stdtrit(count - 1, INTERVAL_QUANTILE)) * error
    return GainEstimate(mean, mean - margin, mean + margin, count)
