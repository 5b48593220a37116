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
from nudge_sync.planning.held_out import (
    CHUNK,
    DEPTH,
    HELD_SHARE,
    found_means,
    hashed,
    held_out,
    in_order,
)
from nudge_sync.solve.problem import PARTS, Queries
from nudge_sync.store.ledger import Ledger
from nudge_sync.store.provenance import Recognised, Shadow, recognise
from nudge_sync.store.target import Target

_WIDEST = 16384
"""The largest answer that every database gives."""
_UNIT = 1e-3


@dataclass(frozen=True)
class Dataset:
    """Everything a plan is made from. A row is a point that is judged, or not where it was."""

    rows: NDArray[np.intp]
    """(n,): which of the points in play they are."""
    points: Recognised
    choosing: Queries
    weights: csr_matrix | None
    """(q, n): how much each judgement pulls; None where all pull alike."""
    part: NDArray[np.int64]
    """(q,): a stable tenth, 0 to 9, for each choosing query."""
    held: Queries
    bystanders: NDArray[np.bool_]
    """Held-out queries that share no relevant point with any choosing query."""
    judged: NDArray[np.bool_]
    """Rows with at least one judgement."""
    found: dict[str, float]
    """The mean of every metric over the held-out queries, through the index as it is now."""
    left_out: dict[str, int]
    """Judgements and queries that count for nothing, by reason."""


def points_in_play(
    target: Target, judgements: Judgements, progress: Progress, ledger: Ledger | None = None
) -> Recognised:
    """The judged points, those shown to people who acted, and those ever moved, read by id.

    ledger: from a caller that has it. Raises UnsupportedCollection, DamagedRecord, DatabaseError.
    """
    moved_before = Shadow(target.originals, target.place).ids()
    ids = in_order([*judgements.point_ids, *judgements.expected_gains.point_ids, *moved_before])
    progress("read", 0, len(ids))
    points = recognise(target, ids, ledger=ledger)
    progress("read", len(ids), len(ids))
    _refuse_lengths(points.originals, target)
    return points


def without_feedback(target: Target, judgements: Judgements) -> list[PointId]:
    """The points that were moved once and of which no judgement says anything now."""
    moved_before = Shadow(target.originals, target.place).ids()
    return in_order({*moved_before} - _spoken_of(judgements))


def _spoken_of(judgements: Judgements) -> set[PointId]:
    return {*judgements.point_ids, *judgements.expected_gains.point_ids}


def build(
    target: Target,
    judgements: Judgements,
    points: Recognised,
    *,
    rows: NDArray[np.intp],
    exact: bool,
    progress: Progress,
) -> Dataset:
    """Search for the unjudged points near each query, and split.

    points: all that are in play; rows: those `concerned`.
    Nothing is scanned, whatever the size of the collection, and nothing is written.
    Raises DatabaseError.
    """
    points = points.only(rows)
    weights, left_out = _weights(judgements, points)
    relevance = _relevance(judgements, points, weights)
    answered = _answered(relevance)
    left_out["queries without a usable answer"] = int((~answered).sum())
    relevance, vectors = relevance[answered], judgements.query_vectors[answered]
    weights = weights[answered]
    in_play = set(points.ids)
    unjudged, found = _unjudged(target, vectors, in_play, exact=exact, progress=progress)
    queries = Queries(vectors, relevance, unjudged)
    share = hashed(vectors)
    is_held = share < HELD_SHARE
    choosing, held = queries.only(~is_held), queries.only(is_held)
    spread = (share[~is_held] - HELD_SHARE) / (1 - HELD_SHARE)
    return Dataset(
        rows=rows,
        points=points,
        choosing=choosing,
        weights=None if _labelled(judgements) else weights[~is_held].maximum(0),
        part=np.minimum((spread * PARTS).astype(np.int64), PARTS - 1),
        held=held,
        bystanders=_bystanders(choosing, held),
        judged=np.isin(np.arange(len(points.ids)), weights.indices),
        found=_found_means(judgements, np.flatnonzero(answered), found),
        left_out={reason: count for reason, count in left_out.items() if count},
    )


def concerned(target: Target, judgements: Judgements, points: Recognised) -> NDArray[np.intp]:
    """The rows of points that are judged or were shown, and of those that are not where they were.

    What lost its feedback and is back at its original is found by search, like any other point:
    as if it had never been moved.
    """
    said = _spoken_of(judgements)
    moved = ~is_same_vector(points.live, points.originals, rescales=target.facts.rescales)
    return np.flatnonzero(moved | np.array([point in said for point in points.ids], np.bool_))


def _found_means(
    judgements: Judgements, rows: NDArray[np.intp], found: list[list[PointId]]
) -> dict[str, float]:
    probe = held_out(judgements)
    tops = dict(zip(rows, found, strict=True))
    return found_means(
        probe, {number: tops[row] for number, row in enumerate(probe.rows) if row in tops}
    )


def _refuse_lengths(originals: Float32, target: Target) -> None:
    lengths = np.linalg.norm(originals.astype(np.float64), axis=1)
    if not np.isfinite(lengths).all():
        raise UnsupportedCollection(
            f'"{target.name}" holds judged points with NaN or infinity in their vectors; '
            "embed them again"
        )
    if target.facts.metric == "euclid" and (np.abs(lengths - 1) > _UNIT).any():
        raise UnsupportedCollection(
            f'"{target.name}" compares by Euclidean distance and holds vectors that are not of '
            "unit length; only unit-length vectors can be nudged there. Use cosine or dot product"
        )


def _weights(judgements: Judgements, points: Recognised) -> tuple[csr_matrix, dict[str, int]]:
    """(q, n) weights of the judgements on points that exist and have a direction."""
    pairs = (judgements.query_rows, judgements.point_ids, judgements.weights)
    matrix, gone = _matrix(pairs, len(judgements.query_ids), points)
    return matrix, {"judgements on points that are gone or zero": gone}


def _relevance(judgements: Judgements, points: Recognised, weights: csr_matrix) -> csr_matrix:
    """(q, n): what finding each point is worth, above 0; and the negative judgements as they are.

    Behaviour is worth what it is expected to be, also where it is too doubtful to pull.
    """
    said = judgements.expected_gains
    pairs = (said.query_rows, said.point_ids, said.gains)
    gains = _matrix(pairs, len(judgements.query_ids), points)[0].tocoo()
    width = np.int64(weights.shape[1])
    no = weights.tocoo()
    against = no.data <= 0
    denied = no.row[against] * width + no.col[against]
    kept = ~np.isin(gains.row * width + gains.col, denied)
    value = np.concatenate([gains.data[kept], no.data[against]])
    row = np.concatenate([gains.row[kept], no.row[against]])
    column = np.concatenate([gains.col[kept], no.col[against]])
    matrix = csr_matrix((value, (row, column)), shape=weights.shape, dtype=np.float64)
    matrix.sort_indices()
    return matrix


def _labelled(judgements: Judgements) -> bool:
    """Whether all there is are labels: then what pulls is what finding it is worth."""
    positive, said = judgements.weights > 0, judgements.expected_gains
    ids = [judgements.point_ids[row] for row in np.flatnonzero(positive)]
    return (
        ids == said.point_ids
        and np.array_equal(judgements.query_rows[positive], said.query_rows)
        and np.array_equal(judgements.weights[positive], said.gains)
    )


def _matrix(
    pairs: tuple[NDArray[np.int64], list[PointId], NDArray[np.float64]],
    queries: int,
    points: Recognised,
) -> tuple[csr_matrix, int]:
    """(q, n) values of (query row, point) pairs, and how many points are gone or zero."""
    rows, ids, values = pairs
    has_length = np.linalg.norm(points.originals, axis=1) > 0
    row_of = {point: row for row, point in enumerate(points.ids) if has_length[row]}
    columns = np.array([row_of.get(point, -1) for point in ids], np.int64)
    there = columns >= 0
    cells = (rows[there], columns[there])
    matrix = csr_matrix((values[there], cells), shape=(queries, len(points.ids)), dtype=np.float64)
    matrix.sort_indices()
    return matrix, int((~there).sum())


def _answered(relevance: csr_matrix) -> NDArray[np.bool_]:
    positive = relevance.copy()
    positive.data = (positive.data > 0).astype(np.float64)
    answered: NDArray[np.bool_] = np.asarray(positive.sum(axis=1)).ravel() > 0
    return answered


def _bystanders(choosing: Queries, held: Queries) -> NDArray[np.bool_]:
    taught = np.unique(choosing.relevance.indices[choosing.relevance.data > 0])
    shared = held.relevance[:, taught]
    shared.data = (shared.data > 0).astype(np.float64)
    alone: NDArray[np.bool_] = np.asarray(shared.sum(axis=1)).ravel() == 0
    return alone


def similarity(scores: Float32, metric: Metric) -> Float32:
    """Search scores as what the solver compares: cosine, or the dot product.

    On Euclid collections all vectors are of unit length: cos = 1 - distance² / 2.
    """
    if metric == "euclid":
        return np.asarray(1 - np.square(scores) / 2, np.float32)
    return scores


def _unjudged(
    target: Target,
    queries: Float32,
    judged: set[PointId],
    *,
    exact: bool,
    progress: Progress,
) -> tuple[Float32, list[list[PointId]]]:
    """By the database's own search: the scores of the best points outside `judged`, (q, DEPTH),
    and the ids of the best points of all for each query.
    """
    free = np.full((len(queries), DEPTH), -np.inf, np.float32)
    found: list[list[PointId]] = []
    for start in range(0, len(queries), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(queries)))
        progress("search", start, len(queries))
        found += _fill(target, queries, judged, rows, free, exact=exact)
    progress("search", len(queries), len(queries))
    return free, found


def _fill(
    target: Target,
    queries: Float32,
    judged: set[PointId],
    rows: NDArray[np.intp],
    free: Float32,
    *,
    exact: bool,
) -> list[list[PointId]]:
    """Ask for more and more, until each query has enough unjudged points or there are no more.

    Fills `rows` of `free`; gives back the ids of the best points of all, a list a row.
    """
    width = 4 * DEPTH
    tops: list[list[PointId]] = []
    while len(rows):
        hits = target.collection.search(queries[rows], width, exact=exact)
        tops = tops or [ids[:DEPTH] for ids in hits.ids]
        short = []
        for row, ids, scores in zip(rows, hits.ids, hits.scores, strict=True):
            own = similarity(scores, target.facts.metric)
            best = own[[point not in judged for point in ids]][:DEPTH]
            free[row, : len(best)] = best
            if len(best) < DEPTH and len(ids) >= width:
                # An unjudged point further down scores at most what the last one here does.
                free[row, len(best) :] = own[-1]
                short.append(row)
            else:
                free[row, len(best) :] = -np.inf
        if width >= _WIDEST:
            break
        rows = np.array(short, np.intp)
        width = min(width * 4, _WIDEST)
    return tops
