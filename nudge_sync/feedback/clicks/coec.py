"""Clicks over expected clicks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.clicks.impressions import MAX_RANK, Impressions
from nudge_sync.feedback.clicks.pbm import Pairs


def compute_coec(
    impressions: Impressions, pairs: Pairs, smoothing: float = 1.0
) -> NDArray[np.float64]:
    """(p,): how many clicks each pair had against the average of the places it was shown at.

    1 is average. `smoothing` average clicks are added to both, so that little evidence says
    little. Zhang and Jones 2007; what is expected sums over impressions, never over clicks.
    """
    clicked = np.bincount(impressions.rank, weights=impressions.clicked, minlength=MAX_RANK + 1)
    shown = np.bincount(impressions.rank, weights=impressions.shown, minlength=MAX_RANK + 1)
    click_rate = clicked / np.maximum(shown, 1e-300)
    expected_clicks = pairs.sum(impressions.shown * click_rate[impressions.rank])
    return np.asarray((pairs.sum(impressions.clicked) + smoothing) / (expected_clicks + smoothing))
