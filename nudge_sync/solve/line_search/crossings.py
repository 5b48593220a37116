"""The angles at which two score curves change places, in closed form.

Until the earlier stop of a pair both scores move, between the stops one does, and then neither.
While both move they are equal at most once, where tan(t) = (a_r - a_c) / (b_c - b_r), for a
candidate c and its rival r, or all the time, and then part at the earlier stop. While one moves it
meets the other's score v at most twice, at t = atan2(b, a) +- arccos(v / hypot(a, b)).
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
    """For each of p pairs, whether the rival leads at first, and each change after that."""

    rival_leads: NDArray[np.bool_]
    """(p,): whether the rival ranks higher at the lowest angle; of equal scores the smaller row."""
    pair: Rows
    """(c,): the pair of each change."""
    angle: Float64
    """(c,): radians."""
    change: Rows
    """(c,): +1 where the rival overtakes the candidate, -1 where it falls behind."""


SCORE_TOLERANCE = 3e-7
"""Largest difference of scores that count as equal, in score units: they are sums in float32."""


def find_crossings(
    curves: Curves, candidate: Rows, rival: Rows, low: float, high: float
) -> Crossings:
    """Find where each rival overtakes its candidate or falls behind, from angle `low` to `high`.

    candidate, rival: (p,), rows of `curves`, of one query each pair.
    """
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
    """Tell whether the rival leads in each stretch between two edges: (p, edges - 1)."""
    middle = (edges[:, :-1] + edges[:, 1:]) / 2
    lead = _evaluate_scores(curves, rival, middle) - _evaluate_scores(curves, candidate, middle)
    # Ties go to the smaller row: unjudged points before judged ones of their query.
    leads = np.where(np.abs(lead) < SCORE_TOLERANCE, (rival < candidate)[:, None], lead > 0)
    for column in range(1, leads.shape[1]):
        # A stretch of no length stands for a root that does not exist.
        absent = edges[:, column + 1] <= edges[:, column]
        leads[absent, column] = leads[absent, column - 1]
    return leads


def _evaluate_scores(curves: Curves, rows: Rows, angles: Float64) -> Float64:
    """Return the scores of some curves at angles (p, k), each beyond its stop as at its stop."""
    at = np.minimum(angles, curves.stop[rows][:, None])
    return curves.cosine[rows][:, None] * np.cos(at) + curves.sine[rows][:, None] * np.sin(at)


def _find_roots(curves: Curves, candidate: Rows, rival: Rows, low: float, high: float) -> Float64:
    """Return the angles in (low, high) where the two scores are equal: (p, 3), `high` for none."""
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
    level, mover_level = (
        _evaluate_scores(curves, rows, early[:, None])[:, 0] for rows in (stander, mover)
    )
    radius = np.hypot(curves.cosine[mover], curves.sine[mover])
    meets = (np.abs(level) <= radius) & (radius > 0)
    swing = np.arccos(np.where(meets, level, 0.0) / np.where(meets, radius, 1.0))
    peak = np.arctan2(curves.sine[mover], curves.cosine[mover])
    # Scores that are equal up to the first stop part there.
    is_parting = np.abs(mover_level - level) < SCORE_TOLERANCE
    root_columns = [
        np.where(is_parting, early, np.where(joint_root < early, joint_root, high)),
    ]
    for root in (peak + swing, peak - swing):
        turn = np.where(root < 0, root + 2 * np.pi, root)
        root_columns.append(np.where(meets & (turn > early) & (turn < late), turn, high))
    roots = np.stack(root_columns, axis=1)
    return np.where((roots > low) & (roots < high), roots, high)
