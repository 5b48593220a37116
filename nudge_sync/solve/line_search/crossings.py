"""Where two score curves change places.

Between 0 and the first stop of a pair both move, between the stops one moves, beyond both stand:
at most one crossing in the first stretch and two in the second, each in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64
from nudge_sync.solve.line_search.curves import Curves
from nudge_sync.solve.problem import Rows


@dataclass(frozen=True)
class Crossings:
    """For each pair, whether the rival is ahead at first, and each change after that."""

    rival_leads: NDArray[np.bool_]
    """(p,): at first; where the two are equal, whether it has the smaller row."""
    pair: Rows
    """(c,): which pair each change belongs to."""
    angle: Float64
    """(c,)"""
    change: Rows
    """(c,): +1 where the rival goes ahead, -1 where it falls behind."""


SCORE_TOLERANCE = 3e-7
"""Scores this near are one score: they are sums in float32."""


def find_crossings(
    curves: Curves, candidate: Rows, rival: Rows, low: float, high: float
) -> Crossings:
    """How `rival` stands against `one`, both (p,) rows of `curves`, from angle `low` to `high`."""
    least, most = curves.score_range(low, high)
    rival_leads = least[rival] > most[candidate]
    undecided = np.flatnonzero(
        ~rival_leads & (least[candidate] <= most[rival]) & (candidate != rival)
    )
    first, second = candidate[undecided], rival[undecided]
    roots = np.sort(_find_roots(curves, first, second, low, high), axis=1)
    ends = np.ones((len(first), 1))
    edges = np.hstack([low * ends, roots, high * ends])
    leads = _rival_leads(curves, first, second, edges)
    rival_leads[undecided] = leads[:, 0]
    turned, column = np.nonzero(leads[:, 1:] != leads[:, :-1])
    change = np.where(leads[turned, column + 1], 1, -1)
    return Crossings(rival_leads, undecided[turned], edges[turned, column + 1], change)


def _rival_leads(curves: Curves, candidate: Rows, rival: Rows, edges: Float64) -> NDArray[np.bool_]:
    """Whether the rival is ahead in each stretch between edges: (p, stretches)."""
    middle = (edges[:, :-1] + edges[:, 1:]) / 2
    lead = _evaluate_scores(curves, rival, middle) - _evaluate_scores(curves, candidate, middle)
    # Judged points come after the unjudged of their query, and by row: that settles ties.
    leads = np.where(np.abs(lead) < SCORE_TOLERANCE, (rival < candidate)[:, None], lead > 0)
    for column in range(1, leads.shape[1]):
        # A stretch of no length stands for a root that is not there.
        absent = edges[:, column + 1] <= edges[:, column]
        leads[absent, column] = leads[absent, column - 1]
    return leads


def _evaluate_scores(curves: Curves, rows: Rows, angles: Float64) -> Float64:
    at = np.minimum(angles, curves.stop[rows][:, None])
    return curves.cosine[rows][:, None] * np.cos(at) + curves.sine[rows][:, None] * np.sin(at)


def _find_roots(curves: Curves, candidate: Rows, rival: Rows, low: float, high: float) -> Float64:
    """(p, 3): the angles between `low` and `high` where the two are equal; `high` for none."""
    first, second = curves.stop[candidate], curves.stop[rival]
    early, late = np.minimum(first, second), np.maximum(first, second)
    joint_root = np.arctan2(
        curves.cosine[rival] - curves.cosine[candidate], curves.sine[candidate] - curves.sine[rival]
    )
    joint_root = np.where(joint_root < 0, joint_root + np.pi, joint_root)
    mover, stander = (
        np.where(first > second, candidate, rival),
        np.where(first > second, rival, candidate),
    )
    level = _evaluate_scores(curves, stander, early[:, None])[:, 0]
    radius = np.hypot(curves.cosine[mover], curves.sine[mover])
    meets = (np.abs(level) <= radius) & (radius > 0)
    swing = np.arccos(np.where(meets, level, 0.0) / np.where(meets, radius, 1.0))
    peak = np.arctan2(curves.sine[mover], curves.cosine[mover])
    root_columns = [np.where(joint_root < early, joint_root, high)]
    for root in (peak + swing, peak - swing):
        turn = np.where(root < 0, root + 2 * np.pi, root)
        root_columns.append(np.where(meets & (turn > early) & (turn < late), turn, high))
    roots = np.stack(root_columns, axis=1)
    return np.where((roots > low) & (roots < high), roots, high)
