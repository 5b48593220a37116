"""Where two score curves change places.

Between 0 and the first stop of a pair both move, between the stops one moves, beyond both stand:
at most one crossing in the first stretch and two in the second, each in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nudge_sync.solve.curves import Curves
from nudge_sync.solve.problem import Float64, Rows


@dataclass(frozen=True)
class Crossings:
    """For each pair, whether the rival is ahead at first, and each change after that."""

    ahead: NDArray[np.bool_]
    """(p,): at angles just above 0; where the two are always equal, whether it comes first."""
    pair: Rows
    """(c,): which pair each change belongs to."""
    angle: Float64
    """(c,)"""
    change: Rows
    """(c,): +1 where the rival goes ahead, -1 where it falls behind."""


def crossings(curves: Curves, one: Rows, rival: Rows, limit: float) -> Crossings:
    """How `rival` stands against `one`, both (p,) rows of `curves`, at every angle up to `limit`."""
    low, high = curves.range(limit)
    settled = (low[one] > high[rival]) | (low[rival] > high[one])
    ahead = low[rival] > high[one]
    open_pairs = np.flatnonzero(~settled)
    first, second = one[open_pairs], rival[open_pairs]
    roots = np.sort(_roots(curves, first, second, limit), axis=1)
    edges = np.hstack([np.zeros((len(first), 1)), roots, np.full((len(first), 1), limit)])
    middle = (edges[:, :-1] + edges[:, 1:]) / 2
    lead = _scores(curves, second, middle) - _scores(curves, first, middle)
    # Judged points come after the unjudged of their query, and by row: ties are settled by that.
    leads = np.where(lead == 0, (second < first)[:, None], lead > 0)
    ahead[open_pairs] = leads[:, 0]
    # A stretch of no length is an absent root: it repeats what was before it.
    for column in range(1, leads.shape[1]):
        absent = edges[:, column + 1] <= edges[:, column]
        leads[absent, column] = leads[absent, column - 1]
    turned, column = np.nonzero(leads[:, 1:] != leads[:, :-1])
    change = np.where(leads[turned, column + 1], 1, -1)
    return Crossings(ahead, open_pairs[turned], edges[turned, column + 1], change)


def _scores(curves: Curves, rows: Rows, angles: Float64) -> Float64:
    at = np.minimum(angles, curves.stop[rows][:, None])
    return curves.cosine[rows][:, None] * np.cos(at) + curves.sine[rows][:, None] * np.sin(at)


def _roots(curves: Curves, one: Rows, rival: Rows, limit: float) -> Float64:
    """(p, 3): the angles in (0, limit) where the two are equal; `limit` stands for none."""
    stops = np.minimum(curves.stop, limit)
    early, late = np.minimum(stops[one], stops[rival]), np.maximum(stops[one], stops[rival])
    mover = np.where(stops[one] > stops[rival], one, rival)
    stander = np.where(stops[one] > stops[rival], rival, one)
    level = _scores(curves, stander, early[:, None])[:, 0]
    both = np.arctan2(
        curves.cosine[rival] - curves.cosine[one], curves.sine[one] - curves.sine[rival]
    )
    both = np.where(both < 0, both + np.pi, both)
    radius = np.hypot(curves.cosine[mover], curves.sine[mover])
    meets = np.abs(level) <= radius
    swing = np.arccos(np.where(meets & (radius > 0), level / np.where(radius > 0, radius, 1), 1.0))
    peak = np.arctan2(curves.sine[mover], curves.cosine[mover])
    found = np.stack([both, peak + swing, peak - swing], axis=1)
    found[:, 1:] = np.where(found[:, 1:] < 0, found[:, 1:] + 2 * np.pi, found[:, 1:])
    within = np.stack([both < early] + [meets & (one_ > early) & (one_ < late) for one_ in found.T[1:]], axis=1)
    return np.where(within & (found > 0), found, limit)
