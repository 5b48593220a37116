"""Judgements and original vectors -> aligned arrays and splits, for the solver and the gate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.progress import Progress
from nudge_sync.connector import Float32, Metric, PointId
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.errors import UnsupportedCollection
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.feedback.schema.point_ids import sort_ids
from nudge_sync.planning.held_out import (
    HELD_OUT_SHARE,
    QUERIES_PER_SEARCH,
    SEARCH_DEPTH,
    hash_queries,
    score_runs,
    select_held_out,
)
from nudge_sync.solve.problem import BUCKET_COUNT, JudgedQueries
from nudge_sync.store.ledger import Ledger
from nudge_sync.store.provenance import ClassifiedPoints, classify_points
from nudge_sync.store.target import Target

_MAX_SEARCH_WIDTH = 16384
"""The largest answer that every database gives."""
_UNIT_LENGTH_TOLERANCE = 1e-3


@dataclass(frozen=True)
class PlanDataset:
    """Everything a plan is made from. A row is a point that is judged, or not where it was."""

    rows: NDArray[np.intp]
    """(n,): which of the points in play they are."""
    points: ClassifiedPoints
    train_queries: JudgedQueries
    weights: csr_matrix | None
    """(q, n): how much each judgement pulls; None where all pull alike."""
    folds: NDArray[np.int64]
    """(q,): a stable tenth, 0 to 9, for each choosing query."""
    held_out_queries: JudgedQueries
    bystanders: NDArray[np.bool_]
    """Held-out queries that share no relevant point with any choosing query."""
    is_judged: NDArray[np.bool_]
    """Rows with at least one judgement."""
    live_scores: dict[str, float]
    """The mean of every metric over the held-out queries, through the index as it is now."""
    excluded_counts: dict[str, int]
    """Judgements and queries that count for nothing, by reason."""


def read_points_in_play(
    target: Target, judgements: Judgements, progress: Progress, ledger: Ledger | None = None
) -> ClassifiedPoints:
    """The judged points, those shown to people who acted, and those ever moved, read by id.

    ledger: from a caller that has it. Raises UnsupportedCollection, DamagedRecord, DatabaseError.
    """
    moved_ids = target.shadow.read_point_ids()
    ids = sort_ids([*judgements.point_ids, *judgements.expected_gains.point_ids, *moved_ids])
    progress("read", 0, len(ids))
    points = classify_points(target, ids, ledger=ledger)
    progress("read", len(ids), len(ids))
    _refuse_unusable_lengths(points.originals, target)
    return points


def find_points_without_feedback(target: Target, judgements: Judgements) -> list[PointId]:
    """The points that were moved once and of which no judgement says anything now."""
    moved_ids = target.shadow.read_point_ids()
    return sort_ids({*moved_ids} - _collect_judged_ids(judgements))


def _collect_judged_ids(judgements: Judgements) -> set[PointId]:
    return {*judgements.point_ids, *judgements.expected_gains.point_ids}


def build_dataset(
    target: Target,
    judgements: Judgements,
    points: ClassifiedPoints,
    *,
    rows: NDArray[np.intp],
    exact: bool,
    progress: Progress,
) -> PlanDataset:
    """Search for the unjudged points near each query, and split.

    points: all that are in play; rows: those `concerned`.
    Nothing is scanned, whatever the size of the collection, and nothing is written.
    Raises DatabaseError.
    """
    points = points.select(rows)
    weights, excluded_counts = _build_weights(judgements, points)
    relevance = _build_relevance(judgements, points, weights)
    is_answered = _find_answered(relevance)
    excluded_counts["queries without a usable answer"] = int((~is_answered).sum())
    relevance, query_vectors = relevance[is_answered], judgements.query_vectors[is_answered]
    weights = weights[is_answered]
    ids_in_play = set(points.ids)
    unjudged_scores, ranked_ids = _search_unjudged(
        target, query_vectors, ids_in_play, exact=exact, progress=progress
    )
    queries = JudgedQueries(query_vectors, relevance, unjudged_scores)
    query_hashes = hash_queries(query_vectors)
    is_held_out = query_hashes < HELD_OUT_SHARE
    train_queries, held_out_queries = queries.select(~is_held_out), queries.select(is_held_out)
    fold_positions = (query_hashes[~is_held_out] - HELD_OUT_SHARE) / (1 - HELD_OUT_SHARE)
    return PlanDataset(
        rows=rows,
        points=points,
        train_queries=train_queries,
        weights=None if judgements.only_labels else weights[~is_held_out].maximum(0),
        folds=np.minimum((fold_positions * BUCKET_COUNT).astype(np.int64), BUCKET_COUNT - 1),
        held_out_queries=held_out_queries,
        bystanders=_find_bystanders(train_queries, held_out_queries),
        is_judged=np.isin(np.arange(len(points.ids)), weights.indices),
        live_scores=_score_live_index(judgements, np.flatnonzero(is_answered), ranked_ids),
        excluded_counts={reason: count for reason, count in excluded_counts.items() if count},
    )


def select_dataset_rows(
    target: Target, judgements: Judgements, points: ClassifiedPoints
) -> NDArray[np.intp]:
    """The rows of points that are judged or were shown, and of those that are not where they were.

    What lost its feedback and is back at its original is found by search, like any other point:
    as if it had never been moved.
    """
    judged_ids = _collect_judged_ids(judgements)
    is_moved = ~is_same_vector(
        points.live_vectors, points.originals, rescales=target.facts.rescales
    )
    return np.flatnonzero(
        is_moved | np.array([point in judged_ids for point in points.ids], np.bool_)
    )


def _score_live_index(
    judgements: Judgements, rows: NDArray[np.intp], ranked_ids: list[list[PointId]]
) -> dict[str, float]:
    probe = select_held_out(judgements)
    ids_by_row = dict(zip(rows, ranked_ids, strict=True))
    return score_runs(
        probe,
        {
            number: ids_by_row[row]
            for number, row in enumerate(probe.query_rows)
            if row in ids_by_row
        },
    )


def _refuse_unusable_lengths(originals: Float32, target: Target) -> None:
    lengths = np.linalg.norm(originals.astype(np.float64), axis=1)
    if not np.isfinite(lengths).all():
        raise UnsupportedCollection(
            f'"{target.name}" holds judged points with NaN or infinity in their vectors; '
            "embed them again"
        )
    if target.facts.metric == "euclid" and (np.abs(lengths - 1) > _UNIT_LENGTH_TOLERANCE).any():
        raise UnsupportedCollection(
            f'"{target.name}" compares by Euclidean distance and holds vectors that are not of '
            "unit length; only unit-length vectors can be nudged there. Use cosine or dot product"
        )


def _build_weights(
    judgements: Judgements, points: ClassifiedPoints
) -> tuple[csr_matrix, dict[str, int]]:
    """(q, n) weights of the judgements on points that exist and have a direction."""
    pairs = (judgements.query_rows, judgements.point_ids, judgements.weights)
    matrix, missing_count = _build_matrix(pairs, len(judgements.query_ids), points)
    return matrix, {"judgements on points that are gone or zero": missing_count}


def _build_relevance(
    judgements: Judgements, points: ClassifiedPoints, weights: csr_matrix
) -> csr_matrix:
    """(q, n): what finding each point is worth, above 0; and the negative judgements as they are.

    Behaviour is worth what it is expected to be, also where it is too doubtful to pull.
    """
    expected = judgements.expected_gains
    pairs = (expected.query_rows, expected.point_ids, expected.gains)
    gains = _build_matrix(pairs, len(judgements.query_ids), points)[0].tocoo()
    width = np.int64(weights.shape[1])
    judged_weights = weights.tocoo()
    is_negative = judged_weights.data <= 0
    negative_cells = judged_weights.row[is_negative] * width + judged_weights.col[is_negative]
    is_kept = ~np.isin(gains.row * width + gains.col, negative_cells)
    value = np.concatenate([gains.data[is_kept], judged_weights.data[is_negative]])
    row = np.concatenate([gains.row[is_kept], judged_weights.row[is_negative]])
    column = np.concatenate([gains.col[is_kept], judged_weights.col[is_negative]])
    matrix = csr_matrix((value, (row, column)), shape=weights.shape, dtype=np.float64)
    matrix.sort_indices()
    return matrix


def _build_matrix(
    pairs: tuple[NDArray[np.int64], list[PointId], NDArray[np.float64]],
    query_count: int,
    points: ClassifiedPoints,
) -> tuple[csr_matrix, int]:
    """(q, n) values of (query row, point) pairs, and how many points are gone or zero."""
    rows, ids, values = pairs
    has_length = np.linalg.norm(points.originals, axis=1) > 0
    row_of = {point: row for row, point in enumerate(points.ids) if has_length[row]}
    columns = np.array([row_of.get(point, -1) for point in ids], np.int64)
    is_present = columns >= 0
    cells = (rows[is_present], columns[is_present])
    matrix = csr_matrix(
        (values[is_present], cells), shape=(query_count, len(points.ids)), dtype=np.float64
    )
    matrix.sort_indices()
    return matrix, int((~is_present).sum())


def _find_answered(relevance: csr_matrix) -> NDArray[np.bool_]:
    positive = relevance.copy()
    positive.data = (positive.data > 0).astype(np.float64)
    is_answered: NDArray[np.bool_] = np.asarray(positive.sum(axis=1)).ravel() > 0
    return is_answered


def _find_bystanders(
    train_queries: JudgedQueries, held_out_queries: JudgedQueries
) -> NDArray[np.bool_]:
    train_points = np.unique(train_queries.relevance.indices[train_queries.relevance.data > 0])
    shared = held_out_queries.relevance[:, train_points]
    shared.data = (shared.data > 0).astype(np.float64)
    is_bystander: NDArray[np.bool_] = np.asarray(shared.sum(axis=1)).ravel() == 0
    return is_bystander


def to_similarity(scores: Float32, metric: Metric) -> Float32:
    """Search scores as what the solver compares: cosine, or the dot product.

    On Euclid collections all vectors are of unit length: cos = 1 - distance² / 2.
    """
    if metric == "euclid":
        return np.asarray(1 - np.square(scores) / 2, np.float32)
    return scores


def _search_unjudged(
    target: Target,
    queries: Float32,
    ids_in_play: set[PointId],
    *,
    exact: bool,
    progress: Progress,
) -> tuple[Float32, list[list[PointId]]]:
    """By the database's own search: the scores of the best points outside `judged`, (q, DEPTH),
    and the ids of the best points of all for each query.
    """
    unjudged_scores = np.full((len(queries), SEARCH_DEPTH), -np.inf, np.float32)
    ranked_ids: list[list[PointId]] = []
    for start in range(0, len(queries), QUERIES_PER_SEARCH):
        rows = np.arange(start, min(start + QUERIES_PER_SEARCH, len(queries)))
        progress("search", start, len(queries))
        ranked_ids += _widen_search(
            target, queries, ids_in_play, rows, unjudged_scores, exact=exact
        )
    progress("search", len(queries), len(queries))
    return unjudged_scores, ranked_ids


def _widen_search(
    target: Target,
    queries: Float32,
    ids_in_play: set[PointId],
    rows: NDArray[np.intp],
    unjudged_scores: Float32,
    *,
    exact: bool,
) -> list[list[PointId]]:
    """Ask for more and more, until each query has enough unjudged points or there are no more.

    Fills `rows` of `free`; gives back the ids of the best points of all, a list a row.
    """
    width = 4 * SEARCH_DEPTH
    ranked_ids: list[list[PointId]] = []
    while len(rows):
        hits = target.collection.search(queries[rows], width, exact=exact)
        ranked_ids = ranked_ids or [ids[:SEARCH_DEPTH] for ids in hits.ids]
        unfinished_rows = []
        for row, ids, scores in zip(rows, hits.ids, hits.scores, strict=True):
            similarities = to_similarity(scores, target.facts.metric)
            unjudged = similarities[[point not in ids_in_play for point in ids]][:SEARCH_DEPTH]
            unjudged_scores[row, : len(unjudged)] = unjudged
            if len(unjudged) < SEARCH_DEPTH and len(ids) >= width:
                # An unjudged point further down scores at most what the last one here does.
                unjudged_scores[row, len(unjudged) :] = similarities[-1]
                unfinished_rows.append(row)
            else:
                unjudged_scores[row, len(unjudged) :] = -np.inf
        if width >= _MAX_SEARCH_WIDTH:
            break
        rows = np.array(unfinished_rows, np.intp)
        width = min(width * 4, _MAX_SEARCH_WIDTH)
    return ranked_ids
