"""A point among its queries and neighbours, in a plane, and where each revision put it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.connector import PointId
from nudge_sync.connector.vectors import angles
from nudge_sync.feedback.schema.point_ids import sort_ids
from nudge_sync.store.ledger import Revision
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.target import Target

MAX_NEIGHBOURS = 8
"""Points of the picture that are near the point's original, and as many near its live vector."""


@dataclass(frozen=True, slots=True)
class PointMove:
    """What one revision wrote to a point."""

    revision: int
    angle: float
    """Radians from the original that the point has now."""


@dataclass(frozen=True, slots=True)
class PictureItem:
    """One vector of the picture, and for a point that moved also where it is now."""

    kind: Literal["point", "query", "neighbour"]
    label: str
    start: tuple[float, float]
    end: tuple[float, float]
    """Equal to `start` where nothing moved."""


@dataclass(frozen=True, slots=True)
class PointPicture:
    """The plane in which the vectors differ most from each other."""

    items: list[PictureItem]
    shown_share: float
    """Of the variance of these vectors, how much the plane shows: 0 to 1."""


def trace_point(target: Target, entries: Sequence[Revision], point: PointId) -> list[PointMove]:
    """Return what each revision whose history is kept wrote to the point, oldest first.

    Raises DamagedRecord, DatabaseError.
    """
    points = classify_points(target, [point])
    moves = []
    for entry in entries:
        if entry.details.collected:
            continue
        record = target.history.read_records(entry.number, [point], vectors=True).get(point)
        if record is not None and record.vector is not None and len(points.ids):
            angle = angles(record.vector[None], points.originals)[0]
            moves.append(PointMove(entry.number, float(angle)))
    return moves


def draw_point(
    target: Target, point: PointId, queries: Float32, query_labels: Sequence[str]
) -> PointPicture:
    """Return the point, its queries and its neighbours in a plane: a PCA of exactly these vectors.

    queries: (q, d), with a label each. Raises DatabaseError.
    """
    points = classify_points(target, [point, *_find_neighbours(target, point)])
    plane, shown_share = project_to_plane(
        np.concatenate([points.originals, points.live_vectors, queries])
    )
    count = len(points.ids)
    starts, ends, spots = plane[:count], plane[count : 2 * count], plane[2 * count :]
    items = [
        PictureItem("query", label, _to_pair(spot), _to_pair(spot))
        for label, spot in zip(query_labels, spots, strict=True)
    ]
    items += [
        PictureItem("neighbour", str(id_), _to_pair(starts[row]), _to_pair(ends[row]))
        for row, id_ in enumerate(points.ids)
        if id_ != point
    ]
    items += [
        PictureItem("point", str(id_), _to_pair(starts[row]), _to_pair(ends[row]))
        for row, id_ in enumerate(points.ids)
        if id_ == point
    ]
    return PointPicture(items, shown_share)


def project_to_plane(vectors: Float32) -> tuple[Float64, float]:
    """Return the vectors (n, d) in the plane of their first two principal components: (n, 2).

    Also the share of their variance that the plane shows, 0 to 1.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    scores, spread, _ = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(vectors), 2))
    depth = min(2, len(spread))
    plane[:, :depth] = scores[:, :depth] * spread[:depth]
    total = float((spread**2).sum())
    return plane, float((spread[:2] ** 2).sum() / total) if total > 0 else 1.0


def _find_neighbours(target: Target, point: PointId) -> list[PointId]:
    ends = classify_points(target, [point])
    if not len(ends.ids):
        return []
    vectors = np.concatenate([ends.originals, ends.live_vectors])
    hits = target.collection.search(vectors, MAX_NEIGHBOURS + 1)
    return [id_ for id_ in sort_ids({id_ for ids in hits.ids for id_ in ids}) if id_ != point]


def _to_pair(spot: Float64) -> tuple[float, float]:
    return float(spot[0]), float(spot[1])
