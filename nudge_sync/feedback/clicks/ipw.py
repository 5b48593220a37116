"""Clicks weighed by how unlikely their place was to be looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.clicks.impressions import Impressions
from nudge_sync.feedback.clicks.pbm import Pairs


def compute_ipw_click_rate(
    impressions: Impressions,
    pairs: Pairs,
    examination: NDArray[np.float64],
    max_inverse_propensity: float = 10.0,
) -> NDArray[np.float64]:
    """(p,): the share of looks that ended in a click, by inverse propensity.

    look: (places,), how likely each place is looked at. No click counts for more than `clip`
    (Joachims et al. 2017; clipping trades a little bias for far less variance).
    """
    inverse_propensity = np.minimum(
        1 / np.maximum(examination[impressions.rank], 1e-300), max_inverse_propensity
    )
    click_rate = pairs.sum(impressions.clicked * inverse_propensity) / np.maximum(
        pairs.sum(impressions.shown), 1e-300
    )
    return np.asarray(np.minimum(click_rate, 1.0))
