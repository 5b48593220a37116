"""A plan as the console shows it, and how it is made or read from a file."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from nudge_sync import cycle
from nudge_sync.base.progress import Progress
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import PointId
from nudge_sync.evaluate.inspection.search_changes import SearchComparison, compare_searches
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.planning.plan import Plan
from nudge_sync.planning.plan_file import load_plan, refuse_mismatched_plan
from nudge_sync.store.target import Target


@dataclass(frozen=True, slots=True)
class MovedPoint:
    """One row of the table of moved points."""

    point: PointId
    angle: float
    """Radians from its original once the plan is applied."""


@dataclass(frozen=True)
class PlanView:
    """A plan, and what is shown of it beside its own figures."""

    plan: Plan
    searches: SearchComparison
    moved: list[MovedPoint]
    """The furthest first."""
    source: str
    """Where it comes from, for people: computed here, or read from which file."""
    made_at: float = field(default_factory=time.time)
    """When it was computed or read, in seconds since 1970."""


def build_plan_view(
    target: Target, settings: CollectionSettings, progress: Progress, path: Path | None = None
) -> PlanView:
    """Return the plan of a cycle that ran now, or the one in the file at `path`; write nothing.

    Raises InputError for a file that is no plan of this collection, and DatabaseError.
    """
    if path is None:
        # What the points held is read again when the plan is applied.
        plan = _drop_live_vectors(cycle.plan(target, settings, progress))
    else:
        plan = load_plan(path)
        refuse_mismatched_plan(plan, target.facts)
    judgements = load_judgements(target, settings, progress)
    searches = open_feedback(target, settings.feedback).queries
    comparison = compare_searches(
        target, judgements, plan, searches, metric=settings.solver.metric, progress=progress
    )
    moved = [MovedPoint(*pair) for pair in zip(plan.rows.ids, plan.rows.angles, strict=True)]
    return PlanView(
        plan,
        comparison,
        sorted(moved, key=lambda row: -row.angle),
        "Computed here" if path is None else f"Read from {path.name}",
    )


def _drop_live_vectors(plan: Plan) -> Plan:
    return replace(plan, rows=replace(plan.rows, live_vectors=None))


@dataclass
class PlanShelf:
    """The newest plan of each collection. One is kept, since its vectors take memory."""

    _views: dict[str, PlanView] = field(default_factory=dict, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def get(self, name: str) -> PlanView | None:
        """Return the plan of a collection, or None."""
        return self._views.get(name)

    def put(self, name: str, view: PlanView) -> None:
        """Keep the plan in place of an older one."""
        with self._lock:
            self._views[name] = view

    def drop(self, name: str) -> None:
        """Forget the plan of a collection."""
        with self._lock:
            self._views.pop(name, None)
