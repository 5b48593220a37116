"""What a plan would change for searches: which it makes better, which worse, and by which points.

Held-out queries alone are looked at: the plan was neither made from them nor chosen by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.base.progress import Progress
from nudge_sync.connector import PointId, Records
from nudge_sync.evaluate.inspection.explain_point import read_stored_texts
from nudge_sync.evaluate.sources.collection import find_near_points, read_points
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.metrics import RANKING_DEPTH, MetricName
from nudge_sync.planning.dataset import read_points_in_play
from nudge_sync.planning.held_out import HELD_OUT_SHARE, hash_queries, score_ranked_grades
from nudge_sync.planning.judgement_matrices import build_judgement_matrices
from nudge_sync.planning.plan import Plan
from nudge_sync.planning.unjudged.search import choose_similarity
from nudge_sync.solve.relevance import has_answer, look_up_judgements
from nudge_sync.solve.topk import find_top_k
from nudge_sync.store.target import Target

MAX_LISTED_CHANGES = 500
"""Searches that get better, and as many that get worse, whose results are kept."""


@dataclass(frozen=True, slots=True)
class RankedAnswer:
    """One result of a search."""

    point: PointId
    is_relevant: bool
    """Whether it answers the query, by the judgements."""
    angle: float | None
    """Radians from its original once the plan is applied; None where the plan leaves it alone."""


@dataclass(frozen=True, slots=True)
class SearchChange:
    """A search whose score the plan changes, with its first results before and after."""

    query_id: str
    text: str
    """What was asked, "" where no text is stored."""
    before: float
    after: float
    answers_before: list[RankedAnswer]
    answers_after: list[RankedAnswer]


@dataclass(frozen=True, slots=True)
class SearchComparison:
    """The held-out queries with the live vectors against those with the plan's."""

    metric: MetricName
    queries: int
    before: float
    after: float
    """Means of the metric over these queries."""
    won_count: int
    lost_count: int
    won: list[SearchChange]
    """The greatest gains first; `MAX_LISTED_CHANGES` at most."""
    lost: list[SearchChange]
    """The greatest losses first; `MAX_LISTED_CHANGES` at most."""


@dataclass(frozen=True, slots=True)
class _Rankings:
    """The first results of each query, as rows of `ids`, before and after."""

    ids: list[PointId]
    relevance: csr_matrix
    """(q, n): of the first n of `ids`; the others are no answers."""
    before: NDArray[np.intp]
    after: NDArray[np.intp]


def compare_searches(
    target: Target,
    judgements: Judgements,
    plan: Plan,
    searches: Records,
    *,
    metric: MetricName,
    progress: Progress,
) -> SearchComparison:
    """Return what the plan would do to the held-out queries that have an answer.

    searches: the stored searches, for the texts of the queries. Rankings are exact, of the points
    in play and the unjudged ones that the index ranks near a query. Writes nothing. Raises
    DatabaseError.
    """
    query_rows, rankings = _rank_held_out(target, judgements, plan, progress)
    before, after = (
        _score_rankings(rankings.relevance, rows, metric)
        for rows in (rankings.before, rankings.after)
    )
    gains = after - before
    order = np.argsort(-gains, kind="stable")
    won = order[gains[order] > 0]
    lost = order[::-1][gains[order[::-1]] < 0]
    angle_of = dict(zip(plan.rows.ids, plan.rows.angles, strict=True))

    def list_changes(rows: NDArray[np.intp]) -> list[SearchChange]:
        query_ids = [judgements.query_ids[query_rows[row]] for row in rows]
        texts = read_stored_texts(searches, query_ids)
        return [
            SearchChange(
                query_id,
                text,
                float(before[row]),
                float(after[row]),
                _list_answers(rankings, rankings.before[row], row, angle_of),
                _list_answers(rankings, rankings.after[row], row, angle_of),
            )
            for row, query_id, text in zip(rows.tolist(), query_ids, texts, strict=True)
        ]

    return SearchComparison(
        metric=metric,
        queries=len(query_rows),
        before=_mean(before),
        after=_mean(after),
        won_count=len(won),
        lost_count=len(lost),
        won=list_changes(won[:MAX_LISTED_CHANGES]),
        lost=list_changes(lost[:MAX_LISTED_CHANGES]),
    )


def _rank_held_out(
    target: Target, judgements: Judgements, plan: Plan, progress: Progress
) -> tuple[NDArray[np.intp], _Rankings]:
    """Return the rows of the held-out queries among the judgements', and their first results."""
    points = read_points_in_play(target, judgements, progress)
    relevance = build_judgement_matrices(judgements, points.ids, points.originals).relevance
    is_held_out = hash_queries(judgements.query_vectors) < HELD_OUT_SHARE
    query_rows = np.flatnonzero(has_answer(relevance) & is_held_out)
    queries = judgements.query_vectors[query_rows]
    near_ids = find_near_points(target, queries, points.ids, progress)
    near = read_points(target, near_ids, progress)
    similarity = choose_similarity(target.facts.metric)

    def rank(vectors: Float32) -> NDArray[np.intp]:
        documents = np.concatenate([vectors, near.vectors])
        return find_top_k(queries, documents, RANKING_DEPTH, similarity=similarity).rows

    return query_rows, _Rankings(
        ids=[*points.ids, *near.ids],
        relevance=relevance[query_rows],
        before=rank(points.live_vectors),
        after=rank(place_planned_vectors(points.ids, points.live_vectors, plan)),
    )


def place_planned_vectors(ids: Sequence[PointId], live_vectors: Float32, plan: Plan) -> Float32:
    """Return what the points shall hold by the plan: (n, d), live vectors where it moves nothing.

    Points of the plan that are not among `ids` are left out.
    """
    row_of = {point: row for row, point in enumerate(ids)}
    planned = live_vectors.copy()
    rows = [row_of.get(point, -1) for point in plan.rows.ids]
    is_known = np.array(rows, np.intp) >= 0
    planned[np.array(rows, np.intp)[is_known]] = plan.rows.vectors[is_known]
    return planned


def _score_rankings(relevance: csr_matrix, rows: NDArray[np.intp], metric: MetricName) -> Float64:
    """Return the metric of each query: (q,), for the results `rows`, (q, depth)."""
    grades = np.zeros((len(rows), RANKING_DEPTH))
    query, rank = np.nonzero((rows >= 0) & (rows < relevance.shape[1]))
    grades[query, rank] = look_up_judgements(relevance, query, rows[query, rank])
    return score_ranked_grades(np.maximum(grades, 0.0), relevance)[metric]


def _list_answers(
    rankings: _Rankings, rows: NDArray[np.intp], query: int, angle_of: dict[PointId, float]
) -> list[RankedAnswer]:
    span = slice(rankings.relevance.indptr[query], rankings.relevance.indptr[query + 1])
    grades = dict(
        zip(
            rankings.relevance.indices[span].tolist(),
            rankings.relevance.data[span].tolist(),
            strict=True,
        )
    )
    return [
        RankedAnswer(rankings.ids[row], grades.get(row, 0.0) > 0, angle_of.get(rankings.ids[row]))
        for row in rows.tolist()
        if row >= 0
    ]


def _mean(values: Float64) -> float:
    return float(np.mean(values)) if len(values) else 0.0
