"""Clicks over expected clicks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.clicks.impressions import DEEPEST, Impressions
from nudge_sync.feedback.clicks.pbm import Pairs


def click_ratio(seen: Impressions, of: Pairs, smoothing: float = 1.0) -> NDArray[np.float64]:
    """(p,): how many clicks each pair had against the average of the places it was shown at.

    1 is average. `smoothing` average clicks are added to both, so that little evidence says
    little. Zhang and Jones 2007; what is expected sums over impressions, never over clicks.
    """
    clicked = np.bincount(seen.position, weights=seen.clicked, minlength=DEEPEST + 1)
    shown = np.bincount(seen.position, weights=seen.shown, minlength=DEEPEST + 1)
    rate = clicked / np.maximum(shown, 1e-300)
    expected = of.sum(seen.shown * rate[seen.position])
    return np.asarray((of.sum(seen.clicked) + smoothing) / (expected + smoothing))
