"""The sample ratio: whether the arms get the share of sessions that chance was to give them.

Where they do not, sessions were lost on the way, most likely not the same ones in both arms, and no
difference between the arms means anything.

The evidence is a Bayes factor: a Beta mixture of ratios against the ratio that was set. If that
one holds, it is a nonnegative martingale that starts at 1, so that by Ville's inequality it ever
reaches 1 / alpha with a chance of at most alpha, however often it is looked at. Lindon and Malek,
"Anytime-valid inference for multinomial count data" (NeurIPS 2022), for two arms.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from nudge_sync.base.arrays import Float64

MISMATCH_ALPHA = 0.01
"""The chance that an experiment that assigns as it should is ever taken for one that does not."""


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """How many of the assignments went to the treatment, and whether chance explains it."""

    expected: float
    """The share that was set."""
    treatment: int
    total: int
    mismatch: bool
    """Whether the evidence against the share that was set ever reached 1 / MISMATCH_ALPHA."""

    def summary(self) -> dict[str, Any]:
        """Return the fields that reports show."""
        return {
            "expected": self.expected,
            "treatment": self.treatment,
            "total": self.total,
            "mismatch": self.mismatch,
        }


def check_sample_ratio(is_treatment: NDArray[np.bool_], expected: float) -> SampleRatio:
    """Return what the assignments, (n,) in the order in which they came, say of the ratio.

    expected: the share of the treatment, between 0 and 1.
    """
    log_evidence = compute_ratio_evidence(is_treatment, expected)
    return SampleRatio(
        expected=expected,
        treatment=int(is_treatment.sum()),
        total=len(is_treatment),
        mismatch=bool((log_evidence >= -log(MISMATCH_ALPHA)).any()),
    )


def compute_ratio_evidence(is_treatment: NDArray[np.bool_], expected: float) -> Float64:
    """Return the log Bayes factor against the ratio `expected` after each assignment, (..., n).

    is_treatment: (..., n). The mixture is Beta(a, b) with mean `expected`, the smaller of a and b
    being 1: for equal arms, all ratios alike.
    """
    a, b = (share / min(expected, 1 - expected) for share in (expected, 1 - expected))
    treatment = np.cumsum(is_treatment, axis=-1, dtype=np.float64)
    control = np.arange(1, is_treatment.shape[-1] + 1) - treatment
    log_mixture = betaln(a + treatment, b + control) - betaln(a, b)
    return np.asarray(log_mixture - treatment * log(expected) - control * log(1 - expected))
