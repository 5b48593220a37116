"""Why a point of a collection moved, and what that did to its ranks; nothing is written."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32
from nudge_sync.base.progress import Progress
from nudge_sync.connector import PointId, Records
from nudge_sync.errors import InputError
from nudge_sync.evaluate.inspection.asking_points import AskingPoint, find_asking_points
from nudge_sync.evaluate.sources.collection import find_near_points, read_points
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.feedback.schema.point_ids import PointIdResolver
from nudge_sync.feedback.schema.records import parse_search_record
from nudge_sync.planning.dataset import read_points_in_play
from nudge_sync.planning.held_out import HELD_OUT_SHARE, hash_queries
from nudge_sync.planning.judgement_matrices import JudgementMatrices, build_judgement_matrices
from nudge_sync.planning.unjudged.search import choose_similarity
from nudge_sync.solve.task import build_attraction
from nudge_sync.solve.topk import find_top_k
from nudge_sync.store.provenance import ClassifiedPoints
from nudge_sync.store.target import Target
from nudge_sync.tuning.explain import Explanation, QueryInfluence, RankChange, explain_document

MAX_EXPLAINED_QUERIES = 1000
"""The most queries that are looked at: those that judge the point, and the nearest to it."""


@dataclass(frozen=True, slots=True)
class PointExplanation:
    """What became of one point, and through which queries."""

    point: PointId
    ownership: str
    """new, original, written or drifted; "unjudged" for a point that feedback never touched."""
    explanation: Explanation
    """Its query numbers are indices into `query_ids`."""
    query_ids: list[str]
    """The queries that were looked at."""
    texts: list[str]
    """What each of them asked, "" where no text is stored."""
    judging_count: int
    """How many of them judge the point."""
    held_out_count: int
    """How many of those that judge it only measure, and attract nothing."""
    asked_by: list[AskingPoint]
    """The points that asked for it, the heaviest first."""


@dataclass(frozen=True, slots=True)
class _LocatedPoint:
    """A point, and its row among the documents that are ranked."""

    id: PointId
    row: int
    original: Float32
    live_vector: Float32
    ownership: str


def explain_point(
    target: Target,
    judgements: Judgements,
    searches: Records,
    given_id: PointId,
    *,
    depth: int,
    progress: Progress,
) -> PointExplanation:
    """Return which queries attracted a point, how far it went, and where its rank changed.

    searches: the stored searches, for the texts of the queries.
    depth: a query is won where the point enters its first `depth` ranks, and lost where it leaves
    them. Ranks are those among the live vectors against those among the originals, of the points
    in play and the unjudged ones that the index ranks near a query. Looks at the queries that
    judge the point and those nearest to it, `MAX_EXPLAINED_QUERIES` at most.
    Raises InputError where there is no such point, DatabaseError.
    """
    point_id = _find_point(target, given_id)
    points = read_points_in_play(target, judgements, progress)
    point = _locate_point(target, points, point_id)
    matrices = build_judgement_matrices(judgements, [point.id], point.original[None])
    ends = np.stack([point.original, point.live_vector])
    selected = _select_queries(judgements.query_vectors, ends, _has_entry(matrices.relevance))
    matrices, vectors = matrices.select(selected), judgements.query_vectors[selected]
    is_held_out = hash_queries(vectors) < HELD_OUT_SHARE
    query_ids = [judgements.query_ids[query] for query in selected]
    is_judging = _has_entry(matrices.weights)
    return PointExplanation(
        point=point.id,
        ownership=point.ownership,
        explanation=_explain(
            target,
            points,
            point,
            vectors,
            matrices=matrices,
            is_held_out=is_held_out,
            depth=depth,
            progress=progress,
        ),
        query_ids=query_ids,
        texts=read_stored_texts(searches, query_ids),
        judging_count=int(is_judging.sum()),
        held_out_count=int((is_judging & is_held_out).sum()),
        asked_by=find_asking_points(target, judgements, points, point.row),
    )


def _explain(
    target: Target,
    points: ClassifiedPoints,
    point: _LocatedPoint,
    queries: Float32,
    *,
    matrices: JudgementMatrices,
    is_held_out: NDArray[np.bool_],
    depth: int,
    progress: Progress,
) -> Explanation:
    """Return what became of the point for `queries`; the matrices have its column alone."""
    before, after = _collect_documents(target, queries, points, point, progress)
    similarity = choose_similarity(target.facts.metric)
    attraction = build_attraction(matrices.relevance, matrices.train_weights)
    return explain_document(
        point.row,
        point.original,
        point.live_vector,
        queries=queries,
        relevance=_place_column(matrices.relevance, point.row, len(before)),
        attraction=_place_column(
            csr_matrix(attraction.multiply(~is_held_out[:, None])), point.row, len(before)
        ),
        rankings=(
            find_top_k(queries, before, depth, similarity=similarity),
            find_top_k(queries, after, depth, similarity=similarity),
        ),
        similarity=similarity,
    )


def _find_point(target: Target, given_id: PointId) -> PointId:
    resolver = PointIdResolver(target.collection)
    resolver.look_up([given_id])
    point = resolver.get(given_id)
    if point is None:
        raise InputError(f'"{target.name}" has no point {given_id!r}')
    return point


def _locate_point(target: Target, points: ClassifiedPoints, point_id: PointId) -> _LocatedPoint:
    """Return the point; its row is the first after the points in play if it is not among them."""
    if point_id in points.ids:
        row = points.ids.index(point_id)
        ownership = points.ownership[row].value
        return _LocatedPoint(
            point_id, row, points.originals[row], points.live_vectors[row], ownership
        )
    vector = target.collection.read([point_id]).vectors[0]
    return _LocatedPoint(point_id, len(points.ids), vector, vector, "unjudged")


def _has_entry(column: csr_matrix) -> NDArray[np.bool_]:
    """Return which rows of a matrix with one column have an explicit entry, also of 0: (q,)."""
    return np.diff(column.indptr) > 0


def _select_queries(
    queries: Float32, ends: Float32, is_judging: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Return the queries that judge the point and then those nearest to either end, ascending."""
    score = (queries @ ends.T).max(axis=1, initial=-np.inf)
    order = np.lexsort((-score, ~is_judging))
    return np.sort(order[:MAX_EXPLAINED_QUERIES])


def _collect_documents(
    target: Target,
    queries: Float32,
    points: ClassifiedPoints,
    point: _LocatedPoint,
    progress: Progress,
) -> tuple[Float32, Float32]:
    """Return all vectors that can rank for the queries: the originals, and those that are live."""
    is_in_play = point.row < len(points.ids)
    near_ids = find_near_points(target, queries, points.ids, progress)
    other_ids = [near_id for near_id in near_ids if near_id != point.id]
    others = read_points(
        target, other_ids if is_in_play else [point.id, *other_ids], progress
    ).vectors
    return (
        np.concatenate([points.originals, others]),
        np.concatenate([points.live_vectors, others]),
    )


def _place_column(column: csr_matrix, row: int, document_count: int) -> csr_matrix:
    """Return a (q, document_count) matrix with the one column of `column` at `row`."""
    return csr_matrix(
        (column.data, np.full_like(column.indices, row), column.indptr),
        shape=(column.shape[0], document_count),
    )


def read_stored_texts(searches: Records, query_ids: list[str]) -> list[str]:
    """Return what each query asked, "" where no text is stored. Raises DatabaseError."""
    stored = [parse_search_record(record) for record in searches.get(query_ids, vectors=False)]
    text_of = {search.query_id: search.text for search in stored}
    return [text_of.get(query_id, "") for query_id in query_ids]


def explanation_to_dict(target: Target, point_explanation: PointExplanation) -> dict[str, Any]:
    """Return the explanation as what JSON can hold; docs/evaluate.md names the fields."""
    explanation = point_explanation.explanation
    return {
        "collection": target.name,
        "point": point_explanation.point,
        "standing": point_explanation.ownership,
        "moved": explanation.moved,
        "angle": explanation.angle,
        "judged_by": point_explanation.judging_count,
        "held_out": point_explanation.held_out_count,
        "queries": len(point_explanation.query_ids),
        "pulls": [
            {**_query_fields(point_explanation, entry), **_influence_fields(entry)}
            for entry in explanation.pulls
        ],
        "asked_by": [asdict(asking) for asking in point_explanation.asked_by],
        "wins": [
            {**_query_fields(point_explanation, entry), **_rank_change_fields(entry)}
            for entry in explanation.wins
        ],
        "loses": [
            {**_query_fields(point_explanation, entry), **_rank_change_fields(entry)}
            for entry in explanation.loses
        ],
    }


def _query_fields(
    point_explanation: PointExplanation, entry: QueryInfluence | RankChange
) -> dict[str, Any]:
    return {
        "query_id": point_explanation.query_ids[entry.query],
        "text": point_explanation.texts[entry.query],
    }


def _influence_fields(influence: QueryInfluence) -> dict[str, Any]:
    return {"share": influence.share, "before": influence.before, "after": influence.after}


def _rank_change_fields(change: RankChange) -> dict[str, Any]:
    return {"relevant": change.relevant, "before": change.before, "after": change.after}
