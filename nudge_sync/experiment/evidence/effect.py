"""The effect of the treatment: its size, the interval that surely holds it, and what is missing.

All of it comes from one observation a session, whose mean is the effect: interleaved, the session's
credit itself; split, a contrast of its credit by the chance with which it got its arm.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64
from nudge_sync.experiment.evidence.sequential import (
    compute_lower_bound,
    compute_upper_bound,
    predict_remaining,
)

_FEWEST_TO_PREDICT = 30
"""Sessions below which nothing is said about how many more it takes."""


@dataclass(frozen=True, slots=True)
class Observations:
    """One number a session, (n,), in the order in which they ended; their mean is the effect."""

    values: Float64
    low: float
    """No value lies below."""
    high: float
    """No value lies above."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What the treatment changes, in units of the metric: above 0 it is better."""

    estimate: float
    """The mean of the observations; 0 without any."""
    low: float
    """The interval as far as it was ever narrowed down; the estimate may have left it since."""
    high: float
    remaining: int | None
    """How many more sessions it takes to be sure of the sign, if they go on as they did; None where
    that cannot be said."""

    def summary(self) -> dict[str, Any]:
        """Return the fields that reports show."""
        return {
            "estimate": self.estimate,
            "interval": [self.low, self.high],
            "sessions_needed": self.remaining,
        }


def observe_interleaved(credit: Float64) -> Observations:
    """Return the credits of interleaved sessions, (u,) from -1 to 1, as observations.

    If the arms are the same, each is as likely to have the other sign.
    """
    return Observations(credit, -1.0, 1.0)


def observe_split(
    credit: Float64, is_treatment: NDArray[np.bool_], treatment_share: float
) -> Observations:
    """Return the credits of split sessions, (u,) from 0 to 1, as observations: (..., u).

    Each is (y - m) / p for the treatment, which a session gets with probability p, and
    (m - y) / (1 - p) for the control. m is the mean of the credits of earlier sessions, which takes
    out most of the variance and, since it is known before the session is assigned, adds no bias:
    the mean is the average effect of getting the treatment. Horvitz and Thompson (JASA 1952);
    as a sequence, Ham et al., "Design-based confidence sequences" (2023).
    """
    earlier = np.cumsum(credit, axis=-1) - credit
    centred = credit - (earlier + 0.5) / np.arange(1, credit.shape[-1] + 1)
    values = np.where(is_treatment, centred / treatment_share, -centred / (1 - treatment_share))
    largest = 1 / min(treatment_share, 1 - treatment_share)
    return Observations(values, -largest, largest)


def measure_effect(observations: Observations, *, alpha_low: float, alpha_high: float) -> Effect:
    """Return the effect with its interval, whose ends are wrong with these chances at most, however
    often it is measured.
    """
    values, low, high = observations.values, observations.low, observations.high
    remaining = inf
    if len(values) >= _FEWEST_TO_PREDICT:
        remaining = min(
            predict_remaining(values, 0.0, low, alpha_low),
            predict_remaining(-values, 0.0, -high, alpha_high),
        )
    return Effect(
        estimate=float(values.mean()) if len(values) else 0.0,
        low=compute_lower_bound(values, low, high, alpha_low),
        high=compute_upper_bound(values, low, high, alpha_high),
        remaining=None if remaining == inf else ceil(remaining),
    )
