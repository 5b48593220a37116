"""A confidence sequence for the mean of bounded observations: it may be looked at at any time.

A bettor who suspects the mean to be above `m` stakes a fraction r of the wealth on each observation
x, which is never below `low`:

    W_t(m, r) = prod_i (1 - r + r (x_i - low) / (m - low)),    W_t(m) = mean over r of W_t(m, r)

If the mean is at most `m`, whatever the observations' distribution and however they depend on
earlier ones, W(m) is a nonnegative supermartingale that starts at 1. By Ville's inequality it ever
reaches 1 / alpha with a chance of at most alpha, so that `m` is rejected for good once it does.
This is the diversified Kelly bettor of Waudby-Smith and Ramdas, "Estimating means of bounded random
variables by betting" (JRSS B, 2024). What a confidence sequence is: Howard et al., "Time-uniform,
nonparametric, nonasymptotic confidence sequences" (Annals of Statistics, 2021).

Only one side is written out. The other is that of the mirrored observations: `-x`, from `-high`.
"""

from __future__ import annotations

from math import inf, log

import numpy as np

from nudge_sync.base.arrays import Float64

BET_FRACTIONS = np.geomspace(1 / 512, 0.9, 10)
"""The fractions r: the best one for an effect is about its size in units of its variance, and one
within a factor of 2 of it is nearly as good."""
_LOG_WEALTH_RANGE = (-700.0, 600.0)
"""What float64 can hold of each bet; far beyond any 1 / alpha, and far below 1."""
_BISECTIONS = 20
"""A bound is found to one part in 2^20 of the range of the observations."""


def compute_log_wealth(observations: Float64, mean: float, low: float) -> Float64:
    """Return the log wealth of a bettor against "the mean is at most `mean`", after each
    observation: (..., n).

    observations: (..., n) in the order in which they came, none below `low`.  mean: above `low`.
    """
    growth = (np.asarray(observations, np.float64) - low) / (mean - low) - 1
    wealth = np.zeros(growth.shape)
    for fraction in BET_FRACTIONS.tolist():
        wealth += np.exp(np.cumsum(np.log1p(fraction * growth), axis=-1).clip(*_LOG_WEALTH_RANGE))
    return np.asarray(np.log(wealth / len(BET_FRACTIONS)))


def compute_lower_bound(observations: Float64, low: float, high: float, alpha: float) -> float:
    """Return the highest mean that was ever rejected as too low; `low` if none was.

    observations: (n,) in the order in which they came, from `low` to `high`.  If their mean stays
    the same, the chance that the bound is ever above it, however often it is computed as
    observations come in, is at most `alpha`. With more observations it never falls.
    """
    # W(m) falls with m at every time, so that its maximum over time does too. The grid is the same
    # for any observations, so that the bound of more of them is never rounded below that of fewer.
    step = (high - low) / 2**_BISECTIONS
    rejected, accepted = 0, 2**_BISECTIONS
    while accepted - rejected > 1 and len(observations):
        middle = (rejected + accepted) // 2
        if compute_log_wealth(observations, low + middle * step, low).max() >= -log(alpha):
            rejected = middle
        else:
            accepted = middle
    return float(low + rejected * step)


def compute_upper_bound(observations: Float64, low: float, high: float, alpha: float) -> float:
    """Return the lowest mean that was ever rejected as too high; `high` if none was.

    The mirror image of `compute_lower_bound`, with the same promise.
    """
    return -compute_lower_bound(-observations, -high, -low, alpha)


def predict_remaining(observations: Float64, mean: float, low: float, alpha: float) -> float:
    """Return how many more observations it takes to reject "the mean is at most `mean`", if they
    go on as they did; 0 where it was rejected, infinity where the wealth does not grow.

    observations: (n,), none below `low`.
    """
    if not len(observations):
        return inf
    log_wealth = compute_log_wealth(observations, mean, low)
    if log_wealth.max() >= -log(alpha):
        return 0.0
    growth = (observations - low) / (mean - low) - 1
    best = max(float(np.log1p(fraction * growth).mean()) for fraction in BET_FRACTIONS.tolist())
    return (-log(alpha) - float(log_wealth[-1])) / best if best > 0 else inf
