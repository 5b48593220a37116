"""A task from a collection's own feedback; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32
from nudge_sync.base.progress import Progress
from nudge_sync.connector import PointId, Points
from nudge_sync.evaluate.task import EvaluationTask, drop_unanswered_queries, scale_to_unit
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.feedback.schema.point_ids import sort_ids
from nudge_sync.planning.dataset import (
    EUCLID_LENGTH_TOLERANCE,
    read_points_in_play,
    select_dataset_rows,
)
from nudge_sync.planning.judgement_matrices import build_judgement_matrices
from nudge_sync.planning.unjudged.points import find_unjudged, join_points, scan_others
from nudge_sync.planning.unjudged.search import choose_similarity
from nudge_sync.solve.geometry import lengths
from nudge_sync.store.provenance import ClassifiedPoints
from nudge_sync.store.target import Target

NEAR_POINTS_PER_QUERY = 50
"""Unjudged points near a query that join the task; every metric looks at ten ranks."""
_POINTS_PER_READ = 1000


def build_collection_task(
    target: Target,
    judgements: Judgements,
    *,
    read_all: bool,
    exact: bool,
    progress: Progress,
) -> EvaluationTask:
    """Return the judged points at their originals, and the unjudged ones that rank near a query.

    Rankings are scored, and methods trained, by the matrices that a plan is made from. Points
    that nobody judged never move, so that those further down cannot matter to a method that moves
    documents; they could to the adaptor, and a note says so.
    read_all: take the whole collection instead. exact: search around the approximate index where
    the database can.
    Raises InputError where no query has an answer, UnsupportedCollection, DatabaseError.
    """
    points = read_points_in_play(target, judgements, progress)
    points = points.select(select_dataset_rows(target, judgements, points))
    if read_all:
        others = scan_others(target, {*points.ids}, progress)
        notes = ["all points of the collection"]
    else:
        near_ids = find_near_points(
            target, judgements.query_vectors, points.ids, progress, exact=exact
        )
        others = read_points(target, near_ids, progress)
        notes = [
            (
                f"the points in play and the {NEAR_POINTS_PER_QUERY} others that the index ranks "
                "first for each query; --exact reads the whole collection"
            ),
            (
                "adaptor and query-adapter move queries: documents that are not near now are "
                "missing for them"
            ),
        ]
    return _build_task(target, judgements, points, others, notes)


def _build_task(
    target: Target,
    judgements: Judgements,
    points: ClassifiedPoints,
    others: Points,
    notes: list[str],
) -> EvaluationTask:
    # Of documents with equal scores the first row ranks first: as in a plan, an unjudged one.
    ids = [*others.ids, *points.ids]
    vectors = np.concatenate([others.vectors, points.originals])
    live_vectors = None
    if not np.array_equal(points.originals, points.live_vectors):
        live_vectors = np.concatenate([others.vectors, points.live_vectors])
    matrices = build_judgement_matrices(judgements, ids, vectors)
    if matrices.missing_count:
        notes = [
            *notes,
            f"{matrices.missing_count} judgements on points that are gone or zero were left out",
        ]
    if target.facts.metric == "euclid" and _has_other_lengths(vectors):
        notes = [*notes, "vectors of another length than one are ranked by their direction alone"]
    usable = np.flatnonzero(lengths(vectors) > 0)
    relevance, weights = matrices.relevance[:, usable], matrices.train_weights
    similarity = choose_similarity(target.facts.metric)
    scale = scale_to_unit if similarity == "cosine" else np.asarray
    return drop_unanswered_queries(
        EvaluationTask(
            name=target.name,
            documents=scale(vectors[usable]),
            live_documents=None if live_vectors is None else scale(live_vectors[usable]),
            queries=judgements.query_vectors,
            judgements=_list_entries(relevance),
            weights=None
            if weights is None
            else _list_entries(csr_matrix(weights[:, usable].multiply(relevance > 0))),
            document_ids=[str(ids[row]) for row in usable],
            query_ids=judgements.query_ids,
            similarity=similarity,
            notes=tuple(notes),
            query_times=judgements.query_times,
        )
    )


def _has_other_lengths(vectors: Float32) -> bool:
    return bool((np.abs(lengths(vectors) - 1) > EUCLID_LENGTH_TOLERANCE).any())


def _list_entries(matrix: csr_matrix) -> list[dict[int, float]]:
    """Return the explicit entries of each row, by column."""
    return [
        dict(zip(matrix.indices[low:high].tolist(), matrix.data[low:high].tolist(), strict=True))
        for low, high in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
    ]


def find_near_points(
    target: Target,
    queries: Float32,
    ids_in_play: Sequence[PointId],
    progress: Progress,
    *,
    exact: bool = False,
) -> list[PointId]:
    """Return the points outside `ids_in_play` that rank first for any query, in a fixed order."""
    unjudged = find_unjudged(
        target, queries, {*ids_in_play}, NEAR_POINTS_PER_QUERY, exact=exact, progress=progress
    )
    return sort_ids(point for ids in unjudged.ids for point in ids)


def read_points(target: Target, point_ids: Sequence[PointId], progress: Progress) -> Points:
    """Read the points that exist, in the order asked, with the vectors that are live now."""
    batches: list[Points] = []
    for start in range(0, len(point_ids), _POINTS_PER_READ):
        progress("read", start, len(point_ids))
        batches.append(target.collection.read(point_ids[start : start + _POINTS_PER_READ]))
    progress("read", len(point_ids), len(point_ids))
    return join_points(batches, target.facts.dimension)
