"""A task from a collection's own feedback. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.progress import Progress
from nudge_sync.connector import Float32, PointId
from nudge_sync.evaluate.task import (
    EvaluationTask,
    Similarity,
    drop_unanswered_queries,
    scale_to_unit,
)
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.planning.dataset import read_points_in_play
from nudge_sync.store.provenance import ClassifiedPoints
from nudge_sync.store.target import Target

NEAR_POINTS_PER_QUERY = 50
"""Unjudged points near a query that join the task; every metric looks at ten places."""
_QUERIES_PER_SEARCH = 256
_POINTS_PER_READ = 1000
_MAX_SEARCH_WIDTH = 16_384
"""The largest answer that every database gives."""


def build_collection_task(
    target: Target, judgements: Judgements, *, exact: bool, progress: Progress
) -> EvaluationTask:
    """The judged points at their originals, and the unjudged ones that rank near each query.

    Points that nobody judged never move, so those further down cannot matter to a method that
    moves documents; to the adaptor they could, and a note says so. With `exact` the whole
    collection is read instead.
    Raises InputError where no query has an answer, UnsupportedCollection, DatabaseError.
    """
    points = read_points_in_play(target, judgements, progress)
    if exact:
        ids, vectors = _scan_collection(target, points, progress)
        notes = ["all points of the collection"]
    else:
        near_ids = find_near_points(target, judgements.query_vectors, points, progress)
        ids, vectors = _append_others(points, *read_points(target, near_ids, progress))
        notes = [
            (
                f"the points in play and the {NEAR_POINTS_PER_QUERY} others that the index ranks "
                "first for each query; --exact reads the whole collection"
            ),
            "the adaptor moves queries, so documents that are not near now are missing for it",
        ]
    return _build_task(target, judgements, ids, vectors, notes)


def _build_task(
    target: Target,
    judgements: Judgements,
    ids: Sequence[PointId],
    vectors: Float32,
    notes: Sequence[str],
) -> EvaluationTask:
    similarity: Similarity = "cosine" if target.facts.metric == "cosine" else "dot"
    usable = np.linalg.norm(vectors, axis=1) > 0
    if not usable.all():
        ids = [point for point, is_usable in zip(ids, usable, strict=True) if is_usable]
        vectors = vectors[usable]
    row_of = {point: row for row, point in enumerate(ids)}
    grades: list[dict[int, float]] = [{} for _ in judgements.query_ids]
    missing_count = 0
    for query, point, weight in zip(
        judgements.query_rows, judgements.point_ids, judgements.weights, strict=True
    ):
        if point in row_of:
            grades[query][row_of[point]] = float(weight)
        else:
            missing_count += 1
    missing_notes = (
        [f"{missing_count} judgements on points that are gone or zero were left out"]
        if missing_count
        else []
    )
    return drop_unanswered_queries(
        EvaluationTask(
            name=target.name,
            documents=scale_to_unit(vectors) if similarity == "cosine" else vectors,
            queries=judgements.query_vectors,
            judgements=grades,
            document_ids=[str(point) for point in ids],
            query_ids=judgements.query_ids,
            similarity=similarity,
            notes=(*notes, *missing_notes),
        )
    )


def find_near_points(
    target: Target, queries: Float32, points: ClassifiedPoints, progress: Progress
) -> list[PointId]:
    """The unjudged points among those that rank first for any query, in a fixed order."""
    in_play = set(points.ids)
    near_ids: set[PointId] = set()
    for start in range(0, len(queries), _QUERIES_PER_SEARCH):
        progress("search", start, len(queries))
        near_ids |= _search_near_points(
            target, queries[start : start + _QUERIES_PER_SEARCH], in_play
        )
    progress("search", len(queries), len(queries))
    return sorted(near_ids, key=lambda point: (isinstance(point, str), str(point)))


def _search_near_points(target: Target, queries: Float32, in_play: set[PointId]) -> set[PointId]:
    """Ask for more and more, until each query has enough unjudged points or there are no more."""
    near_ids: set[PointId] = set()
    rows: NDArray[np.intp] = np.arange(len(queries))
    width = 2 * NEAR_POINTS_PER_QUERY
    while len(rows):
        hits = target.collection.search(queries[rows], width)
        unjudged_ids = [
            [point for point in ids if point not in in_play][:NEAR_POINTS_PER_QUERY]
            for ids in hits.ids
        ]
        near_ids.update(point for ids in unjudged_ids for point in ids)
        short = [
            len(ids) < NEAR_POINTS_PER_QUERY and len(all_ids) >= width
            for ids, all_ids in zip(unjudged_ids, hits.ids, strict=True)
        ]
        rows = rows[np.array(short, dtype=bool)] if width < _MAX_SEARCH_WIDTH else rows[:0]
        width = min(4 * width, _MAX_SEARCH_WIDTH)
    return near_ids


def read_points(
    target: Target, point_ids: Sequence[PointId], progress: Progress
) -> tuple[list[PointId], Float32]:
    """Those of `wanted` that are there, in the order asked, and their vectors now."""
    ids: list[PointId] = []
    vectors = [np.zeros((0, target.facts.dimension), dtype=np.float32)]
    for start in range(0, len(point_ids), _POINTS_PER_READ):
        progress("read", start, len(point_ids))
        batch = target.collection.read(point_ids[start : start + _POINTS_PER_READ])
        ids += batch.ids
        vectors.append(batch.vectors)
    progress("read", len(point_ids), len(point_ids))
    return ids, np.concatenate(vectors)


def _scan_collection(
    target: Target, points: ClassifiedPoints, progress: Progress
) -> tuple[list[PointId], Float32]:
    in_play = set(points.ids)
    ids: list[PointId] = []
    vectors = [np.zeros((0, target.facts.dimension), dtype=np.float32)]
    for batch in target.collection.scan():
        rows = [row for row, point in enumerate(batch.ids) if point not in in_play]
        ids += [batch.ids[row] for row in rows]
        vectors.append(batch.vectors[rows])
        progress("scan", min(len(ids), target.facts.points), target.facts.points)
    return _append_others(points, ids, np.concatenate(vectors))


def _append_others(
    points: ClassifiedPoints, ids: Sequence[PointId], vectors: Float32
) -> tuple[list[PointId], Float32]:
    return [*points.ids, *ids], np.concatenate([points.originals, vectors])
