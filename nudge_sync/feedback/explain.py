"""Why a point is judged as it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nudge_sync.config import FeedbackSettings
from nudge_sync.connector import PointId
from nudge_sync.feedback.clicks.pipeline import Weighed, weighed
from nudge_sync.feedback.clicks.relevance import least_belief
from nudge_sync.feedback.labels import latest, overruled
from nudge_sync.feedback.log.columns import Log


@dataclass(frozen=True, slots=True)
class Reason:
    """One query's word on a point, whether it counts or not."""

    query_id: str
    source: str
    """"label" or "behaviour"."""
    weight: float | None
    """None: it does not count."""
    why: str
    belief: float | None = None
    people: int | None = None
    shown: float | None = None
    clicked: float | None = None
    place: int | None = None

    def summary(self) -> dict[str, Any]:
        """The fields that `--json` prints."""
        return asdict(self)


def reasons(log: Log, settings: FeedbackSettings, point: PointId) -> list[Reason]:
    """Every query that says something of the point: labels, then behaviour, surest first."""
    rows = [row for row, id_ in enumerate(log.points) if id_ == point]
    if not rows:
        return []
    return [*_labels(log, rows[0]), *_behaviour(log, settings, rows[0])]


def _labels(log: Log, point: int) -> list[Reason]:
    said = latest(log.labels)
    said = said.only((said.point == point) & (said.search >= 0))
    return [
        Reason(log.searches.names[search], "label", float(weight), "somebody said so")
        for search, weight in zip(said.search.tolist(), said.weight.tolist(), strict=True)
    ]


def _behaviour(log: Log, settings: FeedbackSettings, point: int) -> list[Reason]:
    if not len(log.behaviour):
        return []
    done = weighed(log, settings)
    of = done.beliefs
    rows = np.flatnonzero((of.point == point) & (of.people > 0))
    said = latest(log.labels)
    silent = overruled(said.only(said.search >= 0), done.groups, of.search, of.point)
    return [
        Reason(
            query_id=log.searches.names[int(of.search[row])],
            source="behaviour",
            weight=None if silent[row] or np.isnan(done.weights[row]) else float(done.weights[row]),
            why="a label overrules it" if silent[row] else _why(done, row, settings),
            belief=float(of.belief[row]),
            people=int(of.people[row]),
            shown=float(of.shown[row]),
            clicked=float(of.clicked[row]),
            place=int(of.place[row]),
        )
        for row in rows[np.argsort(-of.belief[rows], kind="stable")].tolist()
    ]


def _why(done: Weighed, row: int, settings: FeedbackSettings) -> str:
    of = done.beliefs
    if not np.isnan(done.weights[row]):
        return "enough different people, more often than its place explains"
    if of.pushed[row]:
        return "the point is clicked wherever it stands"
    if of.people[row] < min(settings.min_sessions, of.asking[row]):
        return "too few different people"
    if of.belief[row] < least_belief(settings):
        return "no more clicks than its place would get anyhow"
    return "none of the point's clicks is sure enough to move it"
