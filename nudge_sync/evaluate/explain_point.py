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
from nudge_sync.evaluate.sources.collection import near_points, read_points
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.feedback.schema.point_ids import PointIdResolver
from nudge_sync.feedback.schema.records import parse_search_record
from nudge_sync.planning.dataset import read_points_in_play
from nudge_sync.planning.held_out import HELD_SHARE, hashed
from nudge_sync.solve.problem import Similarity
from nudge_sync.solve.task import attraction
from nudge_sync.solve.topk import best
from nudge_sync.store.provenance import ClassifiedPoints
from nudge_sync.store.target import Target
from nudge_sync.tuning.explain import Explanation, Pull, Shift, explain

NEAREST = 1000
"""Queries at most that are looked at: those that judge the point, and the nearest to it."""


@dataclass(frozen=True, slots=True)
class PointExplanation:
    """What became of one point, and through whom."""

    point: PointId
    standing: str
    """new, original, written or drifted; "unjudged" for a point that feedback never touched."""
    explanation: Explanation
    """`query` counts in `query_ids`."""
    query_ids: list[str]
    """The queries that were looked at."""
    texts: list[str]
    judged: int
    """How many queries judge the point."""
    held_out: int
    """How many of these only tell the truth, and pull nothing."""


def explain_point(
    target: Target,
    judgements: Judgements,
    searches: Records,
    written: PointId,
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
    point = _found(target, written)
    points = read_points_in_play(target, judgements, progress)
    row, old, new, standing = _ends(target, points, point)
    relevance = _relevance(judgements, point)
    looked = _queries_near(judgements.query_vectors, np.stack([old, new]), relevance)
    vectors = judgements.query_vectors[looked]
    before, after = _documents(target, vectors, points, (row, point), progress)
    kind: Similarity = "cosine" if target.facts.metric == "cosine" else "dot"
    taught = hashed(vectors) >= HELD_SHARE
    wide = _column(relevance[looked], row, len(before))
    found = explain(
        row,
        old,
        new,
        queries=vectors,
        relevance=wide,
        pull=csr_matrix(attraction(wide, None).multiply(taught[:, None])),
        bars=(
            best(vectors, before, depth, similarity=kind),
            best(vectors, after, depth, similarity=kind),
        ),
        similarity=kind,
    )
    names = [judgements.query_ids[one] for one in looked]
    judging = relevance[looked] != 0
    return PointExplanation(
        point=point,
        standing=standing,
        explanation=found,
        query_ids=names,
        texts=_texts(searches, names),
        judged=int(judging.sum()),
        held_out=int((judging & ~taught).sum()),
    )


def _found(target: Target, written: PointId) -> PointId:
    ids = PointIdResolver(target.collection)
    ids.look_up([written])
    point = ids.get(written)
    if point is None:
        raise InputError(f'"{target.name}" has no point {written!r}')
    return point


def _ends(
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


def _relevance(judgements: Judgements, point: PointId) -> NDArray[np.float64]:
    """How each query judges the point: (q,); 0 where it does not."""
    weights = np.zeros(len(judgements.query_ids))
    own = [place for place, judged in enumerate(judgements.point_ids) if judged == point]
    weights[judgements.query_rows[own]] = judgements.weights[own]
    return weights


def _queries_near(
    queries: Float32, ends: Float32, relevance: NDArray[np.float64]
) -> NDArray[np.intp]:
    """The queries that judge the point and then those nearest to either end, in their order."""
    score = (queries @ ends.T).max(axis=1, initial=-np.inf)
    order = np.lexsort((-score, relevance == 0))
    return np.sort(order[:NEAREST])


def _documents(
    target: Target,
    queries: Float32,
    points: ClassifiedPoints,
    asked: tuple[int, PointId],
    progress: Progress,
) -> tuple[Float32, Float32]:
    """All that can rank for the queries: at their originals, and as they are now."""
    row, point = asked
    near = [one for one in near_points(target, queries, points, progress) if one != point]
    extra = [point] if row == len(points.ids) else []
    others = read_points(target, [*extra, *near], progress)[1]
    before, after = (
        np.concatenate([own, others]) for own in (points.originals, points.live_vectors)
    )
    return before, after


def _column(weights: NDArray[np.float64], row: int, count: int) -> csr_matrix:
    """(q, n) with one column filled."""
    judging = np.flatnonzero(weights)
    cells = (judging, np.full(len(judging), row))
    return csr_matrix((weights[judging], cells), shape=(len(weights), count))


def _texts(searches: Records, names: list[str]) -> list[str]:
    found = [parse_search_record(record) for record in searches.get(names, vectors=False)]
    text_of = {search.query_id: search.text for search in found}
    return [text_of.get(name, "") for name in names]


def as_object(target: Target, found: PointExplanation) -> dict[str, Any]:
    """The explanation as what JSON can hold; docs/evaluate.md names the fields."""
    explanation = found.explanation
    return {
        "collection": target.name,
        "point": found.point,
        "standing": found.standing,
        "moved": explanation.moved,
        "angle": explanation.angle,
        "judged_by": found.judged,
        "held_out": found.held_out,
        "queries": len(found.query_ids),
        "pulls": [{**_named(found, one), **_pull(one)} for one in explanation.pulls],
        "wins": [{**_named(found, one), **_shift(one)} for one in explanation.wins],
        "loses": [{**_named(found, one), **_shift(one)} for one in explanation.loses],
    }


def _named(found: PointExplanation, one: Pull | Shift) -> dict[str, Any]:
    return {"query_id": found.query_ids[one.query], "text": found.texts[one.query]}


def _pull(one: Pull) -> dict[str, Any]:
    return {"share": one.share, "before": one.before, "after": one.after}


def _shift(one: Shift) -> dict[str, Any]:
    return {"relevant": one.relevant, "before": one.before, "after": one.after}
