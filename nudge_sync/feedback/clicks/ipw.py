"""Clicks weighed by how unlikely their place was to be looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.clicks.impressions import Impressions
from nudge_sync.feedback.clicks.pbm import Pairs


def click_share(
    seen: Impressions, of: Pairs, look: NDArray[np.float64], clip: float = 10.0
) -> NDArray[np.float64]:
    """(p,): the share of looks that ended in a click, by inverse propensity.

    look: (places,), how likely each place is looked at. No click counts for more than `clip`
    (Joachims et al. 2017; clipping trades a little bias for far less variance).
    """
    weight = np.minimum(1 / np.maximum(look[seen.position], 1e-300), clip)
    share = of.sum(seen.clicked * weight) / np.maximum(of.sum(seen.shown), 1e-300)
    return np.asarray(np.minimum(share, 1.0))
