"""A task from a collection's own feedback. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.progress import Progress
from nudge_sync.connector import Float32, PointId
from nudge_sync.evaluate.task import Similarity, Task, answered, unit
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.planning.dataset import read_points_in_play
from nudge_sync.store.provenance import ClassifiedPoints
from nudge_sync.store.target import Target

NEAR = 50
"""Unjudged points near a query that join the task; every metric looks at ten places."""
_CHUNK = 256
_READ = 1000
_WIDEST = 16_384
"""The largest answer that every database gives."""


def task_of(target: Target, judgements: Judgements, *, exact: bool, progress: Progress) -> Task:
    """The judged points at their originals, and the unjudged ones that rank near each query.

    Points that nobody judged never move, so those further down cannot matter to a method that
    moves documents; to the adaptor they could, and a note says so. With `exact` the whole
    collection is read instead.
    Raises InputError where no query has an answer, UnsupportedCollection, DatabaseError.
    """
    points = read_points_in_play(target, judgements, progress)
    if exact:
        ids, vectors = _scanned(target, points, progress)
        notes = ["all points of the collection"]
    else:
        near = near_points(target, judgements.query_vectors, points, progress)
        ids, vectors = _with_others(points, *read_points(target, near, progress))
        notes = [
            (
                f"the points in play and the {NEAR} others that the index ranks first for each "
                "query; --exact reads the whole collection"
            ),
            "the adaptor moves queries, so documents that are not near now are missing for it",
        ]
    return _task(target, judgements, ids, vectors, notes)


def _task(
    target: Target,
    judgements: Judgements,
    ids: Sequence[PointId],
    vectors: Float32,
    notes: Sequence[str],
) -> Task:
    similarity: Similarity = "cosine" if target.facts.metric == "cosine" else "dot"
    usable = np.linalg.norm(vectors, axis=1) > 0
    if not usable.all():
        ids = [point for point, there in zip(ids, usable, strict=True) if there]
        vectors = vectors[usable]
    row_of = {point: row for row, point in enumerate(ids)}
    grades: list[dict[int, float]] = [{} for _ in judgements.query_ids]
    gone = 0
    for query, point, weight in zip(
        judgements.query_rows, judgements.point_ids, judgements.weights, strict=True
    ):
        if point in row_of:
            grades[query][row_of[point]] = float(weight)
        else:
            gone += 1
    lost = [f"{gone} judgements on points that are gone or zero were left out"] if gone else []
    return answered(
        Task(
            name=target.name,
            documents=unit(vectors) if similarity == "cosine" else vectors,
            queries=judgements.query_vectors,
            judgements=grades,
            document_ids=[str(point) for point in ids],
            query_ids=judgements.query_ids,
            similarity=similarity,
            notes=(*notes, *lost),
        )
    )


def near_points(
    target: Target, queries: Float32, points: ClassifiedPoints, progress: Progress
) -> list[PointId]:
    """The unjudged points among those that rank first for any query, in a fixed order."""
    played = set(points.ids)
    found: set[PointId] = set()
    for start in range(0, len(queries), _CHUNK):
        progress("search", start, len(queries))
        found |= _near_some(target, queries[start : start + _CHUNK], played)
    progress("search", len(queries), len(queries))
    return sorted(found, key=lambda point: (isinstance(point, str), str(point)))


def _near_some(target: Target, queries: Float32, played: set[PointId]) -> set[PointId]:
    """Ask for more and more, until each query has enough unjudged points or there are no more."""
    found: set[PointId] = set()
    rows: NDArray[np.intp] = np.arange(len(queries))
    width = 2 * NEAR
    while len(rows):
        hits = target.collection.search(queries[rows], width)
        free = [[point for point in ids if point not in played][:NEAR] for ids in hits.ids]
        found.update(point for ids in free for point in ids)
        short = [
            len(ids) < NEAR and len(every) >= width
            for ids, every in zip(free, hits.ids, strict=True)
        ]
        rows = rows[np.array(short, dtype=bool)] if width < _WIDEST else rows[:0]
        width = min(4 * width, _WIDEST)
    return found


def read_points(
    target: Target, wanted: Sequence[PointId], progress: Progress
) -> tuple[list[PointId], Float32]:
    """Those of `wanted` that are there, in the order asked, and their vectors now."""
    ids: list[PointId] = []
    vectors = [np.zeros((0, target.facts.dimension), dtype=np.float32)]
    for start in range(0, len(wanted), _READ):
        progress("read", start, len(wanted))
        batch = target.collection.read(wanted[start : start + _READ])
        ids += batch.ids
        vectors.append(batch.vectors)
    progress("read", len(wanted), len(wanted))
    return ids, np.concatenate(vectors)


def _scanned(
    target: Target, points: ClassifiedPoints, progress: Progress
) -> tuple[list[PointId], Float32]:
    played = set(points.ids)
    ids: list[PointId] = []
    vectors = [np.zeros((0, target.facts.dimension), dtype=np.float32)]
    for batch in target.collection.scan():
        kept = [row for row, point in enumerate(batch.ids) if point not in played]
        ids += [batch.ids[row] for row in kept]
        vectors.append(batch.vectors[kept])
        progress("scan", min(len(ids), target.facts.points), target.facts.points)
    return _with_others(points, ids, np.concatenate(vectors))


def _with_others(
    points: ClassifiedPoints, ids: Sequence[PointId], vectors: Float32
) -> tuple[list[PointId], Float32]:
    return [*points.ids, *ids], np.concatenate([points.originals, vectors])
