"""The way every judged point can go, so that any query's score along it is one formula.

At angle t a point is at (sin(s - t) start + sin(t) end) / sin(s) for t < s, and at `end` from its
stop s on. For NUDGE-N that is the great circle. For NUDGE-M the step is tan(t), and everything,
unjudged scores included, is seen shrunk by cos(t), which changes no ranking.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.threads import map_in_threads
from nudge_sync.solve.nudge_m import translate
from nudge_sync.solve.nudge_n import MIN_LENGTH, Plane, build_plane, rotate
from nudge_sync.solve.problem import Similarity

PathMethod: TypeAlias = Literal["nudge-n", "nudge-m"]


@dataclass(frozen=True)
class Paths:
    """Where each judged point starts and ends, and at which angle it stops."""

    start: Float32
    """(n, d)"""
    end: Float32
    """(n, d): equal to `start` where a point does not move."""
    stop: Float64
    """(n,): radians; 0 where a point does not move."""
    shrinks: bool
    """Whether a point that does not move, or is not judged, is seen shrunk by cos(t)."""


@dataclass(frozen=True)
class PointPulls:
    """Which way the queries of each judged point pull it."""

    pull: Float32
    """(n, d), unit rows; zero where nothing pulls."""
    plane: Plane
    """Of each point and its row of `towards`."""


def compute_pulls(points: Float32, queries: Float64, attraction: csr_matrix) -> PointPulls:
    """The summed queries of each point.

    points: (n, d).  queries: (q, d).  attraction: (q, n), how strongly each query pulls each point.
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
    """The paths of all judged points up to the angle `limit`."""
    plane = pulls.plane
    point_weight, pull_weight, stop = (
        _rotation_weights if method == "nudge-n" else _translation_weights
    )(plane, limit)
    row_length = np.where(plane.row_length > MIN_LENGTH, plane.row_length, 1.0)
    scale = np.ones(len(row_length)) if similarity == "dot" else 1 / row_length
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
    return Paths(start, end, stop, shrinks=method == "nudge-m")


def _rotation_weights(plane: Plane, limit: float) -> tuple[Float64, Float64, Float64]:
    stop = np.minimum(plane.reach, limit)
    return *plane.rotation_weights(stop), stop


def _translation_weights(plane: Plane, limit: float) -> tuple[Float64, Float64, Float64]:
    has_pull = plane.pull_length > MIN_LENGTH
    pull_weight = np.where(
        has_pull, plane.row_length / np.where(has_pull, plane.pull_length, 1.0), 0.0
    )
    count = len(pull_weight)
    return np.full(count, np.cos(limit)), np.sin(limit) * pull_weight, np.full(count, limit)


def move_points(points: Float32, pulls: PointPulls, *, method: PathMethod, angle: float) -> Float32:
    """The points after the angle `angle` (NUDGE-M: after the step tan(angle)), in float32."""
    moved = np.empty_like(points)
    move_rows, distance = (
        (rotate, angle) if method == "nudge-n" else (translate, float(np.tan(angle)))
    )

    def move(rows: slice) -> None:
        moved[rows] = move_rows(points[rows], pulls.pull[rows], pulls.plane.select(rows), distance)

    map_in_threads(move, list_chunks(len(points)))
    return moved
