"""Intervals of a mean gain that a gate could go by, from the literature.

student     mean +- t s / sqrt(n), what the gate goes by.
johnson     the same, moved by the third moment: Johnson, "Modified t tests and confidence intervals
            for asymmetrical populations" (JASA 1978).
hall        the monotone cubic transformation of t: Hall, "On the removal of skewness by
            transformation" (JRSS B 1992).
shrunken    Student's with s^2 = (sum of squares + 2 * 0.2^2) / (n + 1) and two more degrees of
            freedom: a prior worth two queries of the deviation that `check` assumes.
bootstrap-t, bca    Efron's, 499 resamples: DiCiccio and Efron, "Bootstrap confidence intervals"
            (Statistical Science 1996).
betting     the confidence sequence of `nudge_sync.experiment.evidence`, at its last look.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from nudge_sync.base.arrays import Float64
from nudge_sync.experiment.evidence.sequential import compute_lower_bound, compute_upper_bound
from nudge_sync.planning.gate import TYPICAL_GAIN_DEVIATION, confidence_interval

CONFIDENCE = 0.95
RESAMPLES = 499
PRIOR_QUERIES = 2
"""How many queries the prior of the variance counts for."""


def get_student(gains: Float64, _rng: np.random.Generator) -> tuple[float, float]:
    return confidence_interval(gains, np.arange(len(gains)), CONFIDENCE)


def get_johnson(gains: Float64, _rng: np.random.Generator) -> tuple[float, float]:
    low, high = confidence_interval(gains, np.arange(len(gains)), CONFIDENCE)
    variance = gains.var(ddof=1)
    if not variance:
        return low, high
    shift = ((gains - gains.mean()) ** 3).mean() / (6 * len(gains) * variance)
    return low + shift, high + shift


def get_hall(gains: Float64, _rng: np.random.Generator) -> tuple[float, float]:
    count, deviation = len(gains), gains.std(ddof=1)
    if not deviation:
        return gains.mean(), gains.mean()
    error = deviation / np.sqrt(count)
    skew = ((gains - gains.mean()) ** 3).mean() / deviation**3 / np.sqrt(count)
    ends = np.array([1, -1]) * stdtrit(count - 1, (1 + CONFIDENCE) / 2)
    if abs(skew) > 1e-9:
        ends = 3 / skew * (np.cbrt(1 + skew * (ends - skew / 6)) - 1)
    return tuple(gains.mean() - error * ends)


def get_shrunken(gains: Float64, _rng: np.random.Generator) -> tuple[float, float]:
    count = len(gains)
    squares = ((gains - gains.mean()) ** 2).sum() + PRIOR_QUERIES * TYPICAL_GAIN_DEVIATION**2
    freedom = count - 1 + PRIOR_QUERIES
    half = stdtrit(freedom, (1 + CONFIDENCE) / 2) * np.sqrt(squares / freedom / count)
    return gains.mean() - half, gains.mean() + half


def get_bootstrap_t(gains: Float64, rng: np.random.Generator) -> tuple[float, float]:
    resamples = gains[rng.integers(0, len(gains), (RESAMPLES, len(gains)))]
    deviation = gains.std(ddof=1)
    # A resample of equal gains has no deviation of its own; a third of the sample's bounds it.
    deviations = np.maximum(resamples.std(axis=1, ddof=1), deviation / 3 + 1e-12)
    scores = (resamples.mean(axis=1) - gains.mean()) / deviations
    low, high = np.quantile(scores, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return gains.mean() - high * deviation, gains.mean() - low * deviation


def get_bca(gains: Float64, rng: np.random.Generator) -> tuple[float, float]:
    means = gains[rng.integers(0, len(gains), (RESAMPLES, len(gains)))].mean(axis=1)
    below = (means < gains.mean()).sum() + (means == gains.mean()).sum() / 2
    bias = ndtri((below + 0.5) / (RESAMPLES + 1))
    residuals = gains - gains.mean()
    squares = (residuals**2).sum()
    acceleration = (residuals**3).sum() / (6 * squares**1.5) if squares else 0.0
    shifted = bias + np.array([-1, 1]) * ndtri((1 + CONFIDENCE) / 2)
    return tuple(np.quantile(means, ndtr(bias + shifted / (1 - acceleration * shifted))))


def get_betting(gains: Float64, _rng: np.random.Generator) -> tuple[float, float]:
    alpha = (1 - CONFIDENCE) / 2
    return (
        compute_lower_bound(gains, -1.0, 1.0, alpha),
        compute_upper_bound(gains, -1.0, 1.0, alpha),
    )


INTERVALS: dict[str, Callable[[Float64, np.random.Generator], tuple[float, float]]] = {
    "student": get_student,
    "johnson": get_johnson,
    "hall": get_hall,
    "shrunken": get_shrunken,
    "bootstrap-t": get_bootstrap_t,
    "bca": get_bca,
    "betting": get_betting,
}


QUESTION_COUNTS = (5, 10, 30, 60, 200)
DEVIATION, CALM_DEVIATION, GAIN = 0.2, 0.02, 0.1
POPULAR = {
    "each once": [],
    "one 20 times": [20],
    "one 60 times": [60],
    "one 200 times": [200],
    "one 400 times": [400],
    "two 200 times": [200, 200],
    "five 200 times": [200] * 5,
}


def _count_searches(popular: list[int], questions: int) -> np.ndarray:
    """Return how often each question is asked: the first as `popular` says, others once."""
    counts = np.ones(questions, int)
    counts[: len(popular)] = popular
    return counts


def _count_zipf(questions: int) -> np.ndarray:
    """Return how often each question is asked, by Zipf's law, the rarest once."""
    return np.ceil(questions / np.arange(1, questions + 1)).astype(int)


def _accept(counts: np.ndarray, draws: int, mean: float, calm_deviation: float) -> float:
    """Return the share of draws that are accepted, in per cent."""
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(len(counts)), counts)
    deviations = np.where(counts > 1, DEVIATION, calm_deviation)
    gains = rng.normal(mean, deviations, (draws, len(counts)))
    return 100 * float(
        np.mean([confidence_interval(one[numbers], numbers, 0.95)[0] > 0 for one in gains])
    )


def print_repeated_questions(draws: int) -> None:
    """Print how often plans are accepted where some questions are asked far more than others."""
    print(f"{'asked':16}{'questions':>10}{'nothing':>9}{'calm':>7}{'gain':>7}", flush=True)
    for name, popular in {**POPULAR, "Zipf's law": None}.items():
        for questions in QUESTION_COUNTS:
            counts = (
                _count_zipf(questions) if popular is None else _count_searches(popular, questions)
            )
            nothing, calm, gain = (
                _accept(counts, draws, mean, deviation)
                for mean, deviation in ((0, DEVIATION), (0, CALM_DEVIATION), (GAIN, DEVIATION))
            )
            print(f"{name:16}{questions:10}{nothing:9.1f}{calm:7.1f}{gain:7.1f}", flush=True)
