"""Why a point moved, as the console shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nudge_sync.base.progress import Progress
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import PointId
from nudge_sync.evaluate.inspection.explain_point import explain_point, explanation_to_dict
from nudge_sync.evaluate.inspection.point_picture import (
    PointMove,
    PointPicture,
    draw_point,
    trace_point,
)
from nudge_sync.feedback.explain import JudgementReason, explain_judgements
from nudge_sync.feedback.judgements import Judgements, build_judgements
from nudge_sync.feedback.log.collection_log import load_collection_log
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.store.target import Target

EXPLAINED_DEPTH = 10
"""A query is won where the point enters its first so many results."""
_MAX_DRAWN_QUERIES = 8


@dataclass(frozen=True)
class PointView:
    """What became of a point, through whom."""

    explanation: dict[str, Any]
    """The fields of `explain --json`."""
    reasons: list[JudgementReason]
    """What each query says of it: `feedback judgements --json`."""
    moves: list[PointMove]
    picture: PointPicture


def build_point_view(
    target: Target, settings: CollectionSettings, given_id: str, progress: Progress
) -> PointView:
    """Explain the point with this id; write nothing. Raises InputError where there is none."""
    feedback = open_feedback(target, settings.feedback)
    log = load_collection_log(target, settings, progress)
    judgements = build_judgements(log, settings.feedback)
    explanation = explain_point(
        target, judgements, feedback.queries, given_id, depth=EXPLAINED_DEPTH, progress=progress
    )
    fields = explanation_to_dict(target, explanation)
    drawn = _list_drawn_queries(fields)
    return PointView(
        explanation={**fields, "depth": EXPLAINED_DEPTH},
        reasons=explain_judgements(log, settings.feedback, explanation.point),
        moves=trace_point(target, target.open_ledger().entries(), explanation.point),
        picture=_draw(target, judgements, explanation.point, drawn),
    )


def _list_drawn_queries(fields: dict[str, Any]) -> dict[str, str]:
    """Return the queries of the picture: id -> text."""
    entries = [*fields["pulls"], *fields["wins"], *fields["loses"]]
    drawn = {entry["query_id"]: entry["text"] or entry["query_id"] for entry in entries}
    return dict(list(drawn.items())[:_MAX_DRAWN_QUERIES])


def _draw(
    target: Target, judgements: Judgements, point: PointId, queries: dict[str, str]
) -> PointPicture:
    row_of = {query_id: row for row, query_id in enumerate(judgements.query_ids)}
    known = {query_id: text for query_id, text in queries.items() if query_id in row_of}
    rows = np.array([row_of[query_id] for query_id in known], np.intp)
    return draw_point(target, point, judgements.query_vectors[rows], list(known.values()))
