"""Where two score curves change places.

Between 0 and the first stop of a pair both move, between the stops one moves, beyond both stand:
at most one crossing in the first stretch and two in the second, each in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nudge_sync.solve.line_search.curves import Curves
from nudge_sync.solve.problem import Float64, Rows


@dataclass(frozen=True)
class Crossings:
    """For each pair, whether the rival is ahead at first, and each change after that."""

    ahead: NDArray[np.bool_]
    """(p,): at first; where the two are equal, whether it has the smaller row."""
    pair: Rows
    """(c,): which pair each change belongs to."""
    angle: Float64
    """(c,)"""
    change: Rows
    """(c,): +1 where the rival goes ahead, -1 where it falls behind."""


EQUAL = 3e-7
"""Scores this near are one score: they are sums in float32."""


def crossings(curves: Curves, one: Rows, rival: Rows, low: float, high: float) -> Crossings:
    """How `rival` stands against `one`, both (p,) rows of `curves`, from angle `low` to `high`."""
    least, most = curves.range(low, high)
    ahead = least[rival] > most[one]
    open_pairs = np.flatnonzero(~ahead & (least[one] <= most[rival]) & (one != rival))
    first, second = one[open_pairs], rival[open_pairs]
    roots = np.sort(_roots(curves, first, second, low, high), axis=1)
    ends = np.ones((len(first), 1))
    edges = np.hstack([low * ends, roots, high * ends])
    leads = _leads(curves, first, second, edges)
    ahead[open_pairs] = leads[:, 0]
    turned, column = np.nonzero(leads[:, 1:] != leads[:, :-1])
    change = np.where(leads[turned, column + 1], 1, -1)
    return Crossings(ahead, open_pairs[turned], edges[turned, column + 1], change)


def _leads(curves: Curves, one: Rows, rival: Rows, edges: Float64) -> NDArray[np.bool_]:
    """Whether the rival is ahead in each stretch between edges: (p, stretches)."""
    middle = (edges[:, :-1] + edges[:, 1:]) / 2
    lead = _scores(curves, rival, middle) - _scores(curves, one, middle)
    # Judged points come after the unjudged of their query, and by row: that settles ties.
    leads = np.where(np.abs(lead) < EQUAL, (rival < one)[:, None], lead > 0)
    for column in range(1, leads.shape[1]):
        # A stretch of no length stands for a root that is not there.
        absent = edges[:, column + 1] <= edges[:, column]
        leads[absent, column] = leads[absent, column - 1]
    return leads


def _scores(curves: Curves, rows: Rows, angles: Float64) -> Float64:
    at = np.minimum(angles, curves.stop[rows][:, None])
    return curves.cosine[rows][:, None] * np.cos(at) + curves.sine[rows][:, None] * np.sin(at)


def _roots(curves: Curves, one: Rows, rival: Rows, low: float, high: float) -> Float64:
    """(p, 3): the angles between `low` and `high` where the two are equal; `high` for none."""
    first, second = curves.stop[one], curves.stop[rival]
    early, late = np.minimum(first, second), np.maximum(first, second)
    both = np.arctan2(
        curves.cosine[rival] - curves.cosine[one], curves.sine[one] - curves.sine[rival]
    )
    both = np.where(both < 0, both + np.pi, both)
    mover, stander = np.where(first > second, one, rival), np.where(first > second, rival, one)
    level = _scores(curves, stander, early[:, None])[:, 0]
    radius = np.hypot(curves.cosine[mover], curves.sine[mover])
    meets = (np.abs(level) <= radius) & (radius > 0)
    swing = np.arccos(np.where(meets, level, 0.0) / np.where(meets, radius, 1.0))
    peak = np.arctan2(curves.sine[mover], curves.cosine[mover])
    found = [np.where(both < early, both, high)]
    for root in (peak + swing, peak - swing):
        turn = np.where(root < 0, root + 2 * np.pi, root)
        found.append(np.where(meets & (turn > early) & (turn < late), turn, high))
    roots = np.stack(found, axis=1)
    return np.where((roots > low) & (roots < high), roots, high)
