"""What one query answers with the originals, with the live vectors, and with those of a plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.base.progress import Progress
from nudge_sync.connector import PointId
from nudge_sync.connector.vectors import angles
from nudge_sync.errors import InputError
from nudge_sync.evaluate.inspection.search_changes import place_planned_vectors
from nudge_sync.evaluate.sources.collection import find_near_points, read_points
from nudge_sync.feedback.schema.point_ids import sort_ids
from nudge_sync.planning.plan import Plan
from nudge_sync.planning.unjudged.search import choose_similarity
from nudge_sync.solve.geometry import to_float32, unit
from nudge_sync.solve.topk import find_top_k
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.target import Target


@dataclass(frozen=True, slots=True)
class StateAnswer:
    """One result of a query in one state of the collection."""

    point: PointId
    score: float
    angle: float
    """Radians between the point's original and what it holds in this state; 0 if unmoved."""


@dataclass(frozen=True, slots=True)
class StateRankings:
    """The first results of one query, best first."""

    originals: list[StateAnswer]
    live: list[StateAnswer]
    planned: list[StateAnswer] | None
    """None without a plan."""


def rank_states(
    target: Target, query: Float32, plan: Plan | None, *, depth: int, progress: Progress
) -> StateRankings:
    """Return the first `depth` results of a query, (d,), in each state of the collection.

    Rankings are exact: of all points that were ever moved or that the plan moves, and of the others
    that rank near the query. Writes nothing. Raises InputError for a query without a direction,
    and DatabaseError.
    """
    if query.shape != (target.facts.dimension,) or not np.linalg.norm(query) > 0:
        raise InputError("the search has no vector that fits this collection")
    planned_ids = [] if plan is None else plan.rows.ids
    points = classify_points(target, sort_ids({*target.shadow.read_point_ids(), *planned_ids}))
    queries = to_float32(unit(query[None]))
    near_ids = find_near_points(target, queries, points.ids, progress)
    near = read_points(target, near_ids, progress)
    ids = [*points.ids, *near.ids]
    originals = np.concatenate([points.originals, near.vectors])
    similarity = choose_similarity(target.facts.metric)

    def rank(vectors: Float32) -> list[StateAnswer]:
        documents = np.concatenate([vectors, near.vectors])
        top = find_top_k(queries, documents, depth, similarity=similarity)
        rows = top.rows[0][top.rows[0] >= 0]
        turned = angles(documents[rows], originals[rows])
        return [
            StateAnswer(ids[row], float(score), float(angle))
            for row, score, angle in zip(rows.tolist(), top.scores[0], turned, strict=False)
        ]

    return StateRankings(
        originals=rank(points.originals),
        live=rank(points.live_vectors),
        planned=None
        if plan is None
        else rank(place_planned_vectors(points.ids, points.live_vectors, plan)),
    )
