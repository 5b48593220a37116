"""Why a point has the judgements it has: what each query says about it, and whether it counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

import numpy as np

from nudge_sync.connector import PointId
from nudge_sync.feedback.clicks.pipeline import BehaviourEstimates, estimate_relevance
from nudge_sync.feedback.clicks.relevance import min_relevance
from nudge_sync.feedback.labels import group_labels, is_overruled, keep_latest_labels
from nudge_sync.feedback.log.columns import Log
from nudge_sync.settings.feedback import FeedbackSettings


@dataclass(frozen=True, slots=True)
class JudgementReason:
    """What one query says about a point, whether it counts or not."""

    query_id: str
    source: str
    """"label" or "behaviour"."""
    weight: float | None
    """None where it does not count."""
    why: str
    belief: float | None = None
    """The probability of relevance."""
    people: int | None = None
    shown: float | None = None
    clicked: float | None = None
    place: int | None = None
    """The mean rank at which the point was shown, rounded."""

    def summary(self) -> dict[str, Any]:
        """Return the fields that `--json` prints."""
        return asdict(self)


def explain_judgements(
    log: Log, settings: FeedbackSettings, point: PointId
) -> list[JudgementReason]:
    """Return a reason for each query with a label or behaviour on the point.

    Labels come first, then behaviour, the likeliest relevant first.
    """
    point_rows = [row for row, id_ in enumerate(log.point_ids) if id_ == point]
    if not point_rows:
        return []
    return [*_explain_labels(log, point_rows[0]), *_explain_behaviour(log, settings, point_rows[0])]


def _explain_labels(log: Log, point: int) -> list[JudgementReason]:
    labels = keep_latest_labels(log.labels)
    labels = labels.select((labels.point == point) & (labels.search >= 0))
    return [
        JudgementReason(log.searches.query_ids[search], "label", float(weight), "somebody said so")
        for search, weight in zip(labels.search.tolist(), labels.weight.tolist(), strict=True)
    ]


def _explain_behaviour(log: Log, settings: FeedbackSettings, point: int) -> list[JudgementReason]:
    if not len(log.behaviour):
        return []
    estimates = estimate_relevance(log, settings)
    pairs = estimates.pairs
    rows = np.flatnonzero((pairs.point == point) & (pairs.people > 0))
    labels = keep_latest_labels(log.labels)
    labels = labels.select(labels.search >= 0)
    label_groups = group_labels(log, labels, estimates.query_groups, settings.merge_cosine)
    overruled = is_overruled(
        labels, label_groups, estimates.query_groups, pairs.search, pairs.point
    )
    return [
        _explain_pair(log, estimates, row, settings, is_overruled=bool(overruled[row]))
        for row in rows[np.argsort(-pairs.relevance[rows], kind="stable")].tolist()
    ]


def _explain_pair(
    log: Log,
    estimates: BehaviourEstimates,
    row: int,
    settings: FeedbackSettings,
    *,
    is_overruled: bool,
) -> JudgementReason:
    pairs, weight = estimates.pairs, float(estimates.weights[row])
    return JudgementReason(
        query_id=log.searches.query_ids[int(pairs.search[row])],
        source="behaviour",
        weight=None if is_overruled or isnan(weight) else weight,
        why="a label overrules it" if is_overruled else _explain_weight(estimates, row, settings),
        belief=float(pairs.relevance[row]),
        people=int(pairs.people[row]),
        shown=float(pairs.shown[row]),
        clicked=float(pairs.clicked[row]),
        place=int(pairs.rank[row]),
    )


def _explain_weight(estimates: BehaviourEstimates, row: int, settings: FeedbackSettings) -> str:
    pairs = estimates.pairs
    if not np.isnan(estimates.weights[row]):
        return "enough different people, more often than its place explains"
    if pairs.promoted[row]:
        return "the point is clicked wherever it stands"
    if pairs.people[row] < min(settings.min_sessions, pairs.searchers[row]):
        return "too few different people"
    if pairs.relevance[row] < min_relevance(settings):
        return "no more clicks than its place would get anyhow"
    return "none of the point's clicks is sure enough to move it"
