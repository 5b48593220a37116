"""Clicks over expected clicks (COEC), after Zhang and Jones 2007."""

from __future__ import annotations

import numpy as np

from nudge_sync.base.arrays import Float64
from nudge_sync.feedback.clicks.impressions.counts import Impressions, count_by_rank
from nudge_sync.feedback.clicks.impressions.pairs import Pairs


def compute_coec(impressions: Impressions, pairs: Pairs, smoothing: float = 1.0) -> Float64:
    """Return the clicks of each pair over those expected at the ranks it was shown at, (p,).

    COEC = (clicks + smoothing) / (sum over impressions of the click rate at their rank + smoothing)

    1 is average. `smoothing` is a number of average clicks, added so that a pair with few
    impressions stays near 1.
    """
    shown, clicked = count_by_rank(impressions)
    click_rate = clicked / np.maximum(shown, 1e-300)
    expected_clicks = pairs.sum(impressions.shown * click_rate[impressions.rank])
    return np.asarray((pairs.sum(impressions.clicked) + smoothing) / (expected_clicks + smoothing))
