"""The way every judged point can go, so that any query's score along it is one formula.

At angle t a point is at (sin(s - t) start + sin(t) end) / sin(s) for t < s, and at `end` from its
stop s on. For NUDGE-N that is the great circle. For NUDGE-M the step is tan(t), and everything,
unjudged scores included, is seen shrunk by cos(t), which changes no ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

from nudge_sync.solve.problem import Float32, Float64, Similarity
from nudge_sync.solve.rotation import TINY, Plane, mixed, plane, rotate
from nudge_sync.solve.translation import translate
from nudge_sync.workers import spread

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


def chunks(count: int, size: int = CHUNK) -> Iterator[slice]:
    """Slices that cover `count` rows, `size` at a time."""
    return (slice(low, min(low + size, count)) for low in range(0, count, size))


def over_pulls(
    work: Callable[[slice, Float64], None], queries: NDArray[np.floating], attraction: csr_matrix
) -> None:
    """Hand the summed queries of the judged points, chunk by chunk, to `work`: slice, (rows, d).

    attraction: (q, n), how strongly each query pulls each point.
    """
    by_point = csc_matrix(attraction, dtype=np.float64).T.tocsr()
    vectors = np.asarray(queries, np.float64)

    def one(rows: slice) -> None:
        work(rows, np.asarray(by_point[rows] @ vectors))

    spread(one, list(chunks(by_point.shape[0])))


def paths(
    points: Float32,
    queries: NDArray[np.floating],
    attraction: csr_matrix,
    *,
    way: Way,
    similarity: Similarity,
    limit: float,
) -> Paths:
    """The paths of all judged points up to the angle `limit`."""
    start, end, stop = np.empty_like(points), np.empty_like(points), np.empty(len(points))

    def lay(rows: slice, pull: Float64) -> None:
        wide = points[rows].astype(np.float64)
        found = plane(wide, pull)
        size = np.where(found.size > TINY, found.size, 1.0)
        scale = np.ones(len(size)) if similarity == "dot" else 1 / size
        stays, goes, stop[rows] = (_turn if way == "nudge-n" else _step)(found, limit)
        end[rows] = mixed(scale * stays, wide, scale * goes, pull)
        wide *= scale[:, None]
        start[rows] = wide

    over_pulls(lay, queries, attraction)
    return Paths(start, end, stop, fades=way == "nudge-m")


def _turn(found: Plane, limit: float) -> tuple[Float64, Float64, Float64]:
    stop = np.minimum(found.reach, limit)
    return *found.weights(stop), stop


def _step(found: Plane, limit: float) -> tuple[Float64, Float64, Float64]:
    pulled = found.pull > TINY
    goes = np.where(pulled, found.size / np.where(pulled, found.pull, 1.0), 0.0)
    count = len(goes)
    return np.full(count, np.cos(limit)), np.sin(limit) * goes, np.full(count, limit)


def travel(
    points: Float32,
    queries: NDArray[np.floating],
    attraction: csr_matrix,
    *,
    way: Way,
    angle: float,
) -> Float32:
    """The points after the angle `angle` (NUDGE-M: after the step tan(angle)), in float32."""
    moved = np.empty_like(points)

    def move(rows: slice, pull: Float64) -> None:
        if way == "nudge-n":
            moved[rows] = rotate(points[rows], pull, angle)
        else:
            moved[rows] = translate(points[rows], pull, float(np.tan(angle)))

    over_pulls(move, queries, attraction)
    return moved
