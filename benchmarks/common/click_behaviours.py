"""How simulated people go through a list of results and click: four behaviours.

pbm      position-based: rank r is looked at with probability 1 / r^examination_decay, whatever was
         clicked above; what is looked at is clicked if it attracts. The product's own click model.
cascade  from the top down without a gap, until the first click (Craswell et al. 2008).
dcm      dependent clicks: from the top down; after a click one goes on, unless it satisfied (Guo
         et al. 2009), with SATISFACTION for relevant and irrelevant documents.
trust    looks as in pbm, but what stands on top is trusted: an irrelevant document attracts with
         TRUST / r more at rank r (Joachims et al. 2005).
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

Behaviour: TypeAlias = Literal["pbm", "cascade", "dcm", "trust"]
SATISFACTION = (0.1, 0.5)
"""How likely somebody is to stop after a click on an irrelevant and on a relevant document."""
TRUST = 0.3
"""How much likelier an irrelevant document is to be clicked at rank 1 than it would be on its own
merit; that divided by r at rank r."""


def draw_clicks(
    behaviour: Behaviour,
    is_relevant: Any,
    rates: tuple[float, float],
    examination_decay: float,
    rng: np.random.Generator,
) -> Any:
    """Return which results are clicked: (s, k) bool, one row a search, best rank first.

    is_relevant: (s, k) bool.  rates: how likely an irrelevant and a relevant document is to be
    clicked once it is looked at.
    """
    attraction = np.where(is_relevant, rates[1], rates[0])
    ranks = np.arange(1, is_relevant.shape[1] + 1)
    if behaviour == "trust":
        attraction = np.where(is_relevant, attraction, np.minimum(attraction + TRUST / ranks, 1.0))
    if behaviour in ("pbm", "trust"):
        return rng.random(attraction.shape) < attraction / ranks**examination_decay
    attracted = rng.random(attraction.shape) < attraction
    if behaviour == "cascade":
        return _stop_after(attracted, attracted)
    satisfied = rng.random(attraction.shape) < np.where(is_relevant, *SATISFACTION[::-1])
    return _stop_after(attracted, attracted & satisfied)


def _stop_after(clicked: Any, is_last: Any) -> Any:
    """Return the clicks without those below the first that is the last, (s, k)."""
    ended = np.cumsum(is_last, axis=1) - is_last
    return clicked & (ended == 0)
