"""What a plan is made from: the points in play, the queries that choose and those held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32
from nudge_sync.base.progress import Progress
from nudge_sync.connector import LARGEST_ANSWER, PointId
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.errors import UnsupportedCollection
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.feedback.schema.point_ids import sort_ids
from nudge_sync.metrics import RANKING_DEPTH
from nudge_sync.planning.fifths import FifthSplit, hold_out_in_turn
from nudge_sync.planning.held_out import hash_queries, measure_live_scores, select_held_out
from nudge_sync.planning.judgement_matrices import build_judgement_matrices
from nudge_sync.planning.unjudged.index_recall import IndexRecall, measure_index_recall
from nudge_sync.planning.unjudged.points import find_unjudged
from nudge_sync.solve.problem import JudgedQueries
from nudge_sync.solve.relevance import has_answer
from nudge_sync.store.ledger import Ledger
from nudge_sync.store.provenance import ClassifiedPoints, classify_points
from nudge_sync.store.target import Target

EUCLID_LENGTH_TOLERANCE = 1e-3
"""How far a length may be from one on a Euclidean collection."""


@dataclass(frozen=True)
class PlanDataset(FifthSplit):
    """Everything a plan is made from, one row a point that is judged or is not at its original.

    As a split of the queries it is the one whose first fifth is held out.
    """

    other_splits: list[FifthSplit]
    """One for each other fifth, which is held out instead; empty where the first fifth has queries
    enough."""
    rows: NDArray[np.intp]
    """(n,): the rows of these points among all points in play."""
    points: ClassifiedPoints
    is_judged: NDArray[np.bool_]
    """(n,): the points with at least one judgement."""
    live_scores: dict[str, float]
    """The mean of each metric over the held-out queries, through the index as it is now."""
    excluded_counts: dict[str, int]
    """How many judgements and queries were left out, or are not known in full, by reason."""
    index_recall: IndexRecall | None
    """How much the index finds of the unjudged points; None where it was not asked."""


def read_points_in_play(
    target: Target, judgements: Judgements, progress: Progress, ledger: Ledger | None = None
) -> ClassifiedPoints:
    """Read, by id, the points that were judged, were shown to people who acted, or ever moved.

    ledger: the collection's, from a caller that has read it already.
    Raises UnsupportedCollection, DamagedRecord, DatabaseError.
    """
    moved_ids = target.shadow.read_point_ids()
    ids = sort_ids([*judgements.point_ids, *judgements.expected_gains.point_ids, *moved_ids])
    progress("read", 0, len(ids))
    points = classify_points(target, ids, ledger=ledger)
    progress("read", len(ids), len(ids))
    _refuse_unusable_lengths(points.originals, target)
    return points


def find_points_without_feedback(target: Target, judgements: Judgements) -> list[PointId]:
    """Return the points that were moved once and that no judgement names any more."""
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
    min_queries: int,
    exact: bool,
    progress: Progress,
) -> PlanDataset:
    """Find the unjudged points near each query, and hold a fifth of the queries out.

    points: all points in play. rows: those among them that `select_dataset_rows` returns.
    min_queries: with fewer in the fifth, the others are held out too, each in turn.
    Nothing is written. Raises DatabaseError.
    """
    points = points.select(rows)
    matrices = build_judgement_matrices(judgements, points.ids, points.originals)
    is_answered = has_answer(matrices.relevance)
    matrices, query_vectors = matrices.select(is_answered), judgements.query_vectors[is_answered]
    ids_in_play = {*points.ids}
    unjudged = find_unjudged(
        target, query_vectors, ids_in_play, RANKING_DEPTH, exact=exact, progress=progress
    )
    queries = JudgedQueries(query_vectors, matrices.relevance, unjudged.scores)
    first, *other_splits = hold_out_in_turn(
        queries, matrices, hash_queries(query_vectors), min_queries
    )
    excluded_counts = {
        "judgements on points that are gone or zero": matrices.missing_count,
        "queries without a usable answer": int((~is_answered).sum()),
        f"queries with unjudged points beyond the nearest {LARGEST_ANSWER}": unjudged.bounded_count,
    }
    return PlanDataset(
        **vars(first),
        other_splits=other_splits,
        rows=rows,
        points=points,
        is_judged=np.isin(np.arange(len(points.ids)), matrices.weights.indices),
        live_scores=measure_live_scores(
            target, select_held_out(judgements, points.missing), exact=exact, progress=progress
        ),
        excluded_counts={reason: count for reason, count in excluded_counts.items() if count},
        index_recall=measure_index_recall(
            target,
            query_vectors,
            unjudged,
            ids_in_play,
            depth=RANKING_DEPTH,
            progress=progress,
        ),
    )


def select_dataset_rows(
    target: Target, judgements: Judgements, points: ClassifiedPoints
) -> NDArray[np.intp]:
    """Return the rows of the points that are judged, were shown, or are not at their originals.

    A point that lost its feedback and is back at its original is left to the search for unjudged
    points, as if it had never been moved.
    """
    judged_ids = _collect_judged_ids(judgements)
    is_moved = ~is_same_vector(
        points.live_vectors, points.originals, rescales=target.facts.rescales
    )
    return np.flatnonzero(
        is_moved | np.array([point in judged_ids for point in points.ids], np.bool_)
    )


def _refuse_unusable_lengths(originals: Float32, target: Target) -> None:
    lengths = np.linalg.norm(originals.astype(np.float64), axis=1)
    if not np.isfinite(lengths).all():
        raise UnsupportedCollection(
            f'"{target.name}" holds judged points with NaN or infinity in their vectors; '
            "embed them again"
        )
    if target.facts.metric == "euclid" and (np.abs(lengths - 1) > EUCLID_LENGTH_TOLERANCE).any():
        raise UnsupportedCollection(
            f'"{target.name}" compares by Euclidean distance and holds vectors that are not of '
            "unit length; only unit-length vectors can be nudged there. Use cosine or dot product"
        )
