"""Why a point of a collection moved. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.progress import Progress
from nudge_sync.connector import Float32, PointId, Records
from nudge_sync.errors import InputError
from nudge_sync.evaluate.sources.collection import find_near_points, read_points
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.feedback.schema.point_ids import PointIdResolver
from nudge_sync.feedback.schema.records import parse_search_record
from nudge_sync.planning.dataset import read_points_in_play
from nudge_sync.planning.held_out import HELD_OUT_SHARE, hash_queries
from nudge_sync.solve.problem import Similarity
from nudge_sync.solve.task import build_attraction
from nudge_sync.solve.topk import find_top_k
from nudge_sync.store.provenance import ClassifiedPoints
from nudge_sync.store.target import Target
from nudge_sync.tuning.explain import Explanation, QueryInfluence, RankChange, explain_document

MAX_EXPLAINED_QUERIES = 1000
"""Queries at most that are looked at: those that judge the point, and the nearest to it."""


@dataclass(frozen=True, slots=True)
class PointExplanation:
    """What became of one point, and through whom."""

    point: PointId
    ownership: str
    """new, original, written or drifted; "unjudged" for a point that feedback never touched."""
    explanation: Explanation
    """`query` counts in `query_ids`."""
    query_ids: list[str]
    """The queries that were looked at."""
    texts: list[str]
    judging_count: int
    """How many queries judge the point."""
    held_out_count: int
    """How many of these only tell the truth, and pull nothing."""


def explain_point(
    target: Target,
    judgements: Judgements,
    searches: Records,
    given_id: PointId,
    *,
    depth: int,
    progress: Progress,
) -> PointExplanation:
    """Who pulled the point, how far it went, and for whom it entered or left the first `depth`.

    searches: where the texts of the queries are.

    Ranks are those of the vectors now against those of all originals, among the points in play
    and the unjudged ones that the index ranks near a query. Looks at the queries that judge the
    point and those nearest to it, `NEAREST` at most.
    Raises InputError where there is no such point, DatabaseError.
    """
    point = _find_point(target, given_id)
    points = read_points_in_play(target, judgements, progress)
    row, old, new, ownership = _locate_point(target, points, point)
    weights = _collect_weights(judgements, point)
    selected = _select_queries(judgements.query_vectors, np.stack([old, new]), weights)
    vectors = judgements.query_vectors[selected]
    before, after = _collect_documents(target, vectors, points, (row, point), progress)
    similarity: Similarity = "cosine" if target.facts.metric == "cosine" else "dot"
    is_train = hash_queries(vectors) >= HELD_OUT_SHARE
    relevance = _build_column(weights[selected], row, len(before))
    explanation = explain_document(
        row,
        old,
        new,
        queries=vectors,
        relevance=relevance,
        attraction=csr_matrix(build_attraction(relevance, None).multiply(is_train[:, None])),
        rankings=(
            find_top_k(vectors, before, depth, similarity=similarity),
            find_top_k(vectors, after, depth, similarity=similarity),
        ),
        similarity=similarity,
    )
    query_ids = [judgements.query_ids[query] for query in selected]
    judging = weights[selected] != 0
    return PointExplanation(
        point=point,
        ownership=ownership,
        explanation=explanation,
        query_ids=query_ids,
        texts=_read_texts(searches, query_ids),
        judging_count=int(judging.sum()),
        held_out_count=int((judging & ~is_train).sum()),
    )


def _find_point(target: Target, given_id: PointId) -> PointId:
    point_ids = PointIdResolver(target.collection)
    point_ids.look_up([given_id])
    point = point_ids.get(given_id)
    if point is None:
        raise InputError(f'"{target.name}" has no point {given_id!r}')
    return point


def _locate_point(
    target: Target, points: ClassifiedPoints, point: PointId
) -> tuple[int, Float32, Float32, str]:
    """The point's row among the documents, its original and its live vector, and its standing.

    A point that is not in play comes first after those that are.
    """
    if point in points.ids:
        row = points.ids.index(point)
        return row, points.originals[row], points.live_vectors[row], points.ownership[row].value
    vector = target.collection.read([point]).vectors[0]
    return len(points.ids), vector, vector, "unjudged"


def _collect_weights(judgements: Judgements, point: PointId) -> NDArray[np.float64]:
    """How each query judges the point: (q,); 0 where it does not."""
    weights = np.zeros(len(judgements.query_ids))
    own_entries = [entry for entry, judged in enumerate(judgements.point_ids) if judged == point]
    weights[judgements.query_rows[own_entries]] = judgements.weights[own_entries]
    return weights


def _select_queries(
    queries: Float32, ends: Float32, weights: NDArray[np.float64]
) -> NDArray[np.intp]:
    """The queries that judge the point and then those nearest to either end, in their order."""
    score = (queries @ ends.T).max(axis=1, initial=-np.inf)
    order = np.lexsort((-score, weights == 0))
    return np.sort(order[:MAX_EXPLAINED_QUERIES])


def _collect_documents(
    target: Target,
    queries: Float32,
    points: ClassifiedPoints,
    explained: tuple[int, PointId],
    progress: Progress,
) -> tuple[Float32, Float32]:
    """All that can rank for the queries: at their originals, and as they are now."""
    row, point = explained
    near_ids = [
        near_id
        for near_id in find_near_points(target, queries, points, progress)
        if near_id != point
    ]
    extra = [point] if row == len(points.ids) else []
    others = read_points(target, [*extra, *near_ids], progress)[1]
    before, after = (
        np.concatenate([in_play, others]) for in_play in (points.originals, points.live_vectors)
    )
    return before, after


def _build_column(weights: NDArray[np.float64], row: int, count: int) -> csr_matrix:
    """(q, n) with one column filled."""
    judging = np.flatnonzero(weights)
    cells = (judging, np.full(len(judging), row))
    return csr_matrix((weights[judging], cells), shape=(len(weights), count))


def _read_texts(searches: Records, query_ids: list[str]) -> list[str]:
    stored = [parse_search_record(record) for record in searches.get(query_ids, vectors=False)]
    text_of = {search.query_id: search.text for search in stored}
    return [text_of.get(name, "") for name in query_ids]


def explanation_to_dict(target: Target, point_explanation: PointExplanation) -> dict[str, Any]:
    """The explanation as what JSON can hold; docs/evaluate.md names the fields."""
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
