"""The way every judged point can go, so that any query's score along it is one formula.

At angle t a point is at (sin(s - t) start + sin(t) end) / sin(s) for t < s, and at `end` from its
stop s on. For NUDGE-N that is the great circle. For NUDGE-M the step is tan(t), and everything,
unjudged scores included, is seen shrunk by cos(t), which changes no ranking.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from nudge_sync.base.threads import map_in_threads
from nudge_sync.solve.nudge_m import translate
from nudge_sync.solve.nudge_n import TINY, Plane, plane, rotate
from nudge_sync.solve.problem import Float32, Float64, Similarity

Way: TypeAlias = Literal["nudge-n", "nudge-m"]
CHUNK = 512
"""Judged rows handled at once: a few of them, in float64, stay in a core's cache."""


@dataclass(frozen=True)
class Paths:
    """Where each judged point starts and ends, and at which angle it stops."""

    start: Float32
    """(n, d)"""
    end: Float32
    """(n, d): equal to `start` where a point does not move."""
    stop: Float64
    """(n,): radians; 0 where a point does not move."""
    fades: bool
    """Whether a point that does not move, or is not judged, is seen shrunk by cos(t)."""


@dataclass(frozen=True)
class Pulls:
    """Which way the queries of each judged point pull it."""

    towards: Float32
    """(n, d), unit rows; zero where nothing pulls."""
    plane: Plane
    """Of each point and its row of `towards`."""


def chunks(count: int, size: int = CHUNK) -> Iterator[slice]:
    """Slices that cover `count` rows, `size` at a time."""
    return (slice(low, min(low + size, count)) for low in range(0, count, size))


def pulls(points: Float32, queries: Float64, attraction: csr_matrix) -> Pulls:
    """The summed queries of each point.

    points: (n, d).  queries: (q, d).  attraction: (q, n), how strongly each query pulls each point.
    """
    by_point = csc_matrix(attraction, dtype=np.float64).T.tocsr()
    towards = np.empty_like(points)

    def part(rows: slice) -> Plane:
        pull = np.asarray(by_point[rows] @ queries)
        found = plane(points[rows].astype(np.float64), pull)
        pulled = found.pull > TINY
        scale = np.where(pulled, 1 / np.where(pulled, found.pull, 1.0), 0.0)
        np.multiply(pull, scale[:, None], out=towards[rows], casting="same_kind")
        return replace(found, pull=pulled.astype(np.float64))

    return Pulls(towards, Plane.joined(map_in_threads(part, list(chunks(len(points))))))


def paths(
    points: Float32, pulls: Pulls, *, way: Way, similarity: Similarity, limit: float
) -> Paths:
    """The paths of all judged points up to the angle `limit`."""
    found = pulls.plane
    stays, goes, stop = (_turn if way == "nudge-n" else _step)(found, limit)
    size = np.where(found.size > TINY, found.size, 1.0)
    scale = np.ones(len(size)) if similarity == "dot" else 1 / size
    narrow = [one.astype(np.float32)[:, None] for one in (scale, scale * stays, scale * goes)]
    start, end = np.empty_like(points), np.empty_like(points)

    def lay(rows: slice) -> None:
        still, first, second = (one[rows] for one in narrow)
        np.multiply(points[rows], still, out=start[rows])
        np.multiply(pulls.towards[rows], second, out=end[rows])
        end[rows] += points[rows] * first

    map_in_threads(lay, list(chunks(len(points))))
    return Paths(start, end, stop, fades=way == "nudge-m")


def _turn(found: Plane, limit: float) -> tuple[Float64, Float64, Float64]:
    stop = np.minimum(found.reach, limit)
    return *found.weights(stop), stop


def _step(found: Plane, limit: float) -> tuple[Float64, Float64, Float64]:
    pulled = found.pull > TINY
    goes = np.where(pulled, found.size / np.where(pulled, found.pull, 1.0), 0.0)
    count = len(goes)
    return np.full(count, np.cos(limit)), np.sin(limit) * goes, np.full(count, limit)


def travel(points: Float32, pulls: Pulls, *, way: Way, angle: float) -> Float32:
    """The points after the angle `angle` (NUDGE-M: after the step tan(angle)), in float32."""
    moved = np.empty_like(points)
    go, far = (rotate, angle) if way == "nudge-n" else (translate, float(np.tan(angle)))

    def move(rows: slice) -> None:
        moved[rows] = go(points[rows], pulls.towards[rows], pulls.plane.only(rows), far)

    map_in_threads(move, list(chunks(len(points))))
    return moved
