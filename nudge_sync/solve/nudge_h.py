"""NUDGE-H: hub-free nudging. NUDGE-N that does not bring a point nearer to queries it leaves alone.

A point x that turns towards its pull often comes nearer to other queries too, becomes a hub, and
pushes documents without feedback out of their result lists. With z the unit tangent at x towards
its pull, and m the mean of the `neighbours` training queries nearest to x that it does not answer,

    m_perp = unit(m - (m . x) x),
    z'     = unit(z - max(z . m_perp, 0) m_perp),

and x turns along z' by the angle NUDGE-N would turn it by. As a rotation by t scores
q . x' = (q . x) cos(t) + (q . z') sin(t), the mean score of those queries does not rise at any t.
Not published elsewhere, as far as is known.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.threads import map_in_threads
from nudge_sync.solve.geometry import lengths, unit
from nudge_sync.solve.line_search.paths import PointPulls
from nudge_sync.solve.problem import Rows

NEIGHBOUR_COUNTS = (50, 10, 200)
"""Numbers of unanswered queries that the tuning tries, the default first; "auto" takes that alone:
the others cost as much again each."""
MIN_TANGENT = 1e-3
"""Shortest remainder of a unit tangent, once the hub is taken out, whose direction can be told: the
pull is known to 1e-7, so that it is right to 1e-4. A point with less to go by stays."""
_SCORES_PER_CHUNK, _MAX_ROWS_PER_CHUNK = 1 << 22, 512
"""Scores held at once by each thread: 16 MB, and twice that while they are partitioned."""


def find_unanswered_neighbours(
    points: Float32, queries: Float32, answered: csr_matrix, count: int
) -> Rows:
    """Find the `count` queries nearest to each point that it does not answer: (n, count).

    points: (n, d), any length.  queries: (q, d), unit rows.  answered: (n, q), nonzero where a
    point answers a query. Nearest first, of equal scores the smaller row; -1 where there are fewer.
    Never holds an n x q matrix.
    """
    nearest = np.full((len(points), count), -1, np.int64)
    kept = min(count, len(queries))
    rows_per_chunk = min(_MAX_ROWS_PER_CHUNK, max(1, _SCORES_PER_CHUNK // max(1, len(queries))))

    def search(rows: slice) -> None:
        scores = unit(points[rows]).astype(np.float32) @ queries.T
        own = answered[rows]
        scores[np.repeat(np.arange(own.shape[0]), np.diff(own.indptr)), own.indices] = -np.inf
        best = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
        best.sort(axis=1)
        best_scores = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-best_scores, axis=1, kind="stable")
        ranked = np.take_along_axis(best, order, axis=1)
        is_found = np.isfinite(np.take_along_axis(best_scores, order, axis=1))
        nearest[rows, :kept] = np.where(is_found, ranked, -1)

    if kept:
        map_in_threads(search, list_chunks(len(points), rows_per_chunk))
    return nearest


def remove_hub_pull(
    points: Float32, pulls: PointPulls, queries: Float64, neighbours: Rows
) -> PointPulls:
    """Turn each pull so that it no longer points at the mean of the unanswered neighbours.

    points: (n, d).  queries: (q, d).  neighbours: (n, k), as `find_unanswered_neighbours` returns.
    The angle between a point and its pull stays, so `rotate` and the line search apply as they
    are. Pulls that do not point at the mean, or have no neighbours, come back bit for bit; a point
    whose pull is that mean alone can no longer turn.
    """
    plane, pull, reach = pulls.plane, pulls.pull.copy(), pulls.plane.reach.copy()

    def turn(rows: slice) -> None:
        original, cosine = unit(points[rows]), plane.cosine[rows, None]
        tangent = unit(pulls.pull[rows] - cosine * original)
        hub = _average_neighbours(queries, neighbours[rows])
        hub = unit(hub - np.einsum("ij,ij->i", hub, original)[:, None] * original)
        share = np.einsum("ij,ij->i", tangent, hub)
        changed = np.flatnonzero((share > 0) & (plane.reach[rows] > 0))
        rest = tangent[changed] - share[changed, None] * hub[changed]
        has_rest = lengths(rest) > MIN_TANGENT
        sine = np.sqrt(1 - cosine[changed] ** 2)
        turned = cosine[changed] * original[changed] + sine * unit(rest)
        pull[rows.start + changed[has_rest]] = turned[has_rest]
        reach[rows.start + changed[~has_rest]] = 0.0

    map_in_threads(turn, list_chunks(len(points)))
    return PointPulls(pull, replace(plane, reach=reach))


def _average_neighbours(queries: Float64, neighbours: Rows) -> Float64:
    """Return the mean direction of the neighbours of each point: (n, d), unit rows or zero."""
    count, width = neighbours.shape
    is_found = (neighbours >= 0).astype(np.float64)
    rows = np.where(neighbours >= 0, neighbours, 0)
    starts = np.arange(count + 1) * width
    selection = csr_matrix((is_found.ravel(), rows.ravel(), starts), shape=(count, len(queries)))
    return unit(np.asarray(selection @ queries))
