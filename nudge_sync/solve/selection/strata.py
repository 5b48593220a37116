"""Compare methods on validation values of two kinds: of warm answers and of cold ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from nudge_sync.base.arrays import Float64, Int64
from nudge_sync.solve.problem import ColdReport, GainEstimate
from nudge_sync.solve.relevance import find_first_answers
from nudge_sync.solve.task import SolverTask, ValidationSplit, iterate_validation_queries

DEFAULT_CONFIDENCE = 0.95
"""Confidence of the intervals of a `ColdReport`, two-sided."""
LARGEST_GAIN = 1.0
"""Largest gain or loss of a query: metrics lie between 0 and 1."""


@dataclass(frozen=True)
class Strata:
    """Which validation values are those of cold answers, and how much they count."""

    is_cold: NDArray[np.bool_]
    """(v,)"""
    cluster: Int64
    """(v,): values of one cluster count as one observation; here, those that share an answer."""
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

    def average_cold(self, values: Float64) -> float:
        """Return the mean over cold answers; 0 where there are none."""
        return float(values[self.is_cold].mean()) if self.is_cold.any() else 0.0

    def estimate_error(self, values: Float64) -> float:
        """Return the standard error of the weighted mean; infinite for one cluster of a kind.

        The two kinds are taken as independent samples.
        """
        weights, variance = self.get_weights(), 0.0
        for kind in (self.is_cold, ~self.is_cold):
            share = weights[kind].sum() / len(values)
            # What has no weight adds no error, also where a single cluster says nothing of it.
            if share:
                variance += (share * _estimate_error(values[kind], self.cluster[kind])[0]) ** 2
        return float(np.sqrt(variance))

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
    kinds, clusters = [np.empty(0, np.bool_)], [np.empty(0, np.int64)]
    for split, validation in iterate_validation_queries(task, splits):
        kinds.append(np.arange(len(validation)) >= split.validation.sum())
        clusters.append(find_first_answers(validation.relevance))
    is_cold, cluster = np.concatenate(kinds), np.concatenate(clusters)
    if not is_cold.any():
        cluster = np.arange(len(is_cold))
    return Strata(is_cold, cluster, task.cold_share or 0.0)


def report_cold(
    strata: Strata,
    values: Float64,
    baseline_values: Float64,
    confidence: float = DEFAULT_CONFIDENCE,
) -> ColdReport:
    """Report the gain of `values` over `baseline_values`, (v,) each, on warm and cold answers."""
    gains = values - baseline_values
    warm, cold = (
        estimate_gain(gains[kind], strata.cluster[kind], confidence)
        for kind in (~strata.is_cold, strata.is_cold)
    )
    return ColdReport(strata.cold_share, warm, cold)


def estimate_gain(
    gains: Float64,
    cluster: Int64,
    confidence: float = DEFAULT_CONFIDENCE,
    variance_factor: float = 1.0,
) -> GainEstimate:
    """Return the mean gain with Student's interval, cut to what a gain can be.

    gains, cluster: (v,); gains of one cluster count as one observation, which weighs as much as it
    has gains. The degrees of freedom are those of as many equal clusters as would tell as much
    (Kish, "Survey Sampling", 1965): where one cluster has most of the gains, hardly any, and the
    interval is wide. A single cluster says nothing of others: its interval is all of -1 to 1.
    variance_factor: by how much the variance of the mean exceeds that of independent clusters.
    """
    error, freedom = _estimate_error(gains, cluster)
    mean = float(gains.mean()) if len(gains) else 0.0
    if not freedom:
        return GainEstimate(mean, -LARGEST_GAIN, LARGEST_GAIN, len(gains))
    margin = float(stdtrit(freedom, (1 + confidence) / 2)) * error * variance_factor**0.5
    low, high = max(mean - margin, -LARGEST_GAIN), min(mean + margin, LARGEST_GAIN)
    return GainEstimate(mean, low, high, len(gains))


def _estimate_error(values: Float64, cluster: Int64) -> tuple[float, float]:
    """Return the standard error of the mean over clustered values, and its degrees of freedom.

    It is the jackknife's, sqrt((C - 1) / C sum_c (mean without c - mean)^2) with C clusters, which
    for clusters of equal size is that of their means. A cluster that weighs much pulls the mean
    towards itself: by the deviations from that mean it would seem to differ little from the others
    (Hansen, "Jackknife standard errors for clustered regression", 2025).
    Degrees of freedom are 1 / sum_c p_c^2 - 1, with a share p_c of the values in c; 0 for fewer
    than two clusters.
    """
    _, group, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    if len(sizes) <= 1:
        return np.inf, 0.0
    changes = np.bincount(group, values - values.mean()) / (len(values) - sizes)
    error = np.sqrt((len(sizes) - 1) / len(sizes) * (changes**2).sum())
    return float(error), float(1 / ((sizes / len(values)) ** 2).sum() - 1)
