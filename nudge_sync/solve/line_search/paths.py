"""The path of each judged point as the angle t grows, in the form that the line search needs.

A point with stop s is at (sin(s - t) start + sin(t) end) / sin(s) for t < s, and at `end` beyond.
For NUDGE-N that is the great circle from the point x towards its pull g, with s = min(phi, limit)
and phi their angle. For NUDGE-M the step is tan(t) and the path (x + tan(t) |x| unit(g)) cos(t):
all points, unjudged ones included, are scaled by cos(t), which changes no ranking.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.threads import map_in_threads
from nudge_sync.solve.geometry import MIN_LENGTH, find_score_unit
from nudge_sync.solve.nudge_m import translate
from nudge_sync.solve.nudge_n import Plane, build_plane, rotate
from nudge_sync.solve.problem import Similarity

PathMethod: TypeAlias = Literal["nudge-n", "nudge-m"]


@dataclass(frozen=True)
class Paths:
    """The start, the end and the last angle of each judged point's path."""

    start: Float32
    """(n, d): the points as they are scored at angle 0, over `score_unit`."""
    end: Float32
    """(n, d): the points at their stop; equal to `start` where a point does not move."""
    stop: Float64
    """(n,): radians; 0 where a point does not move."""
    shrinks: bool
    """Whether scores of points that do not move are scaled by cos(t): true for NUDGE-M."""
    score_unit: float
    """What scores are measured in, so that tolerances fit points of any length; 1 for cosine."""


@dataclass(frozen=True)
class PointPulls:
    """The direction in which its queries pull each judged point."""

    pull: Float32
    """(n, d), unit rows; zero where nothing pulls."""
    plane: Plane
    """The plane of each point and its pull."""


def compute_pulls(points: Float32, queries: Float64, attraction: csr_matrix) -> PointPulls:
    """Sum the queries of each point, g_j = sum_i w_ij q_i, and scale the sums to unit length.

    points: (n, d).  queries: (q, d).  attraction: (q, n), the weights w_ij.
    """
    by_point = csc_matrix(attraction, dtype=np.float64).T.tocsr()
    pull = np.empty_like(points)

    def compute_chunk(rows: slice) -> Plane:
        pull_sum = np.asarray(by_point[rows] @ queries)
        chunk_plane = build_plane(points[rows].astype(np.float64), pull_sum)
        has_pull = chunk_plane.pull_length > MIN_LENGTH
        scale = np.where(has_pull, 1 / np.where(has_pull, chunk_plane.pull_length, 1.0), 0.0)
        np.multiply(pull_sum, scale[:, None], out=pull[rows], casting="same_kind")
        return replace(chunk_plane, pull_length=has_pull.astype(np.float64))

    return PointPulls(
        pull, Plane.concatenate(map_in_threads(compute_chunk, list_chunks(len(points))))
    )


def build_paths(
    points: Float32, pulls: PointPulls, *, method: PathMethod, similarity: Similarity, limit: float
) -> Paths:
    """Return the paths of all judged points, (n, d), up to the angle `limit` in radians."""
    plane = pulls.plane
    point_weight, pull_weight, stop = (
        _rotation_weights if method == "nudge-n" else _translation_weights
    )(plane, limit)
    if similarity == "dot":
        score_unit = find_score_unit(plane.row_length)
        scale = np.full(len(points), 1 / score_unit)
    else:
        score_unit = 1.0
        scale = 1 / np.where(plane.row_length > MIN_LENGTH, plane.row_length, 1.0)
    narrow = [
        factors.astype(np.float32)[:, None]
        for factors in (scale, scale * point_weight, scale * pull_weight)
    ]
    start, end = np.empty_like(points), np.empty_like(points)

    def fill_rows(rows: slice) -> None:
        start_scale, point_scale, pull_scale = (column[rows] for column in narrow)
        np.multiply(points[rows], start_scale, out=start[rows])
        np.multiply(pulls.pull[rows], pull_scale, out=end[rows])
        end[rows] += points[rows] * point_scale

    map_in_threads(fill_rows, list_chunks(len(points)))
    return Paths(start, end, stop, shrinks=method == "nudge-m", score_unit=score_unit)


def _rotation_weights(plane: Plane, limit: float) -> tuple[Float64, Float64, Float64]:
    """Return the weights of point and pull where NUDGE-N's path ends, and its stop: (n,) each."""
    stop = np.minimum(plane.reach, limit)
    return *plane.rotation_weights(stop), stop


def _translation_weights(plane: Plane, limit: float) -> tuple[Float64, Float64, Float64]:
    """Return the weights of point and pull where NUDGE-M's path ends, and its stop: (n,) each."""
    has_pull = plane.pull_length > MIN_LENGTH
    pull_weight = np.where(
        has_pull, plane.row_length / np.where(has_pull, plane.pull_length, 1.0), 0.0
    )
    count = len(pull_weight)
    return np.full(count, np.cos(limit)), np.sin(limit) * pull_weight, np.full(count, limit)


def move_points(points: Float32, pulls: PointPulls, *, method: PathMethod, angle: float) -> Float32:
    """Return the points moved by `angle` (NUDGE-M: by the step tan(angle)): (n, d)."""
    moved = np.empty_like(points)
    move_rows, distance = (
        (rotate, angle) if method == "nudge-n" else (translate, float(np.tan(angle)))
    )

    def move(rows: slice) -> None:
        moved[rows] = move_rows(points[rows], pulls.pull[rows], pulls.plane.select(rows), distance)

    map_in_threads(move, list_chunks(len(points)))
    return moved
