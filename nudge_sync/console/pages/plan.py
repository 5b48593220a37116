"""The plan: what would move, what the gate says, and which searches win and lose."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from nudge_sync.base.progress import Progress
from nudge_sync.connector import PointId
from nudge_sync.console.charts import build_angle_histogram
from nudge_sync.console.context import (
    CollectionName,
    Console,
    ConsoleDependency,
    redirect_to_page,
)
from nudge_sync.console.guards import (
    PROOF_FIELD,
    ProvenForm,
    VisitorDependency,
    describe_form,
)
from nudge_sync.console.jobs import BackgroundJob
from nudge_sync.console.rendering import render_page
from nudge_sync.console.tables import TableRequest, cut_page
from nudge_sync.console.titles import find_titles
from nudge_sync.console.work.plan_view import PlanView, build_plan_view
from nudge_sync.evaluate.inspection.search_changes import SearchChange

plan_router = APIRouter()
_SHOWN_CHANGES = 3
_CHANGES_PER_PAGE = 10
_SHOWN_POINTS = 10


@plan_router.get("/c/{name}/plan")
def show_plan(
    request: Request, name: CollectionName, console: ConsoleDependency, _visitor: VisitorDependency
) -> Response:
    """Show the plan, the work on it, or that there is none."""
    view = console.plans.get(name)
    job = console.jobs.find_latest("plan", name)
    if view is None:
        return render_page(
            request,
            "plan_missing.html.j2",
            title="Plan",
            collection=name,
            section="plan",
            job=job,
        )
    won, lost = view.searches.won[:_SHOWN_CHANGES], view.searches.lost[:_SHOWN_CHANGES]
    moved = view.moved[:_SHOWN_POINTS]
    titles = find_titles(
        console, name, [*_list_points([*won, *lost]), *(row.point for row in moved)]
    )
    return render_page(
        request,
        "plan.html.j2",
        title="Plan",
        collection=name,
        section="plan",
        job=None if job is None or job.is_finished else job,
        view=view,
        summary=view.plan.summary(),
        histogram=build_angle_histogram([row.angle for row in view.moved]),
        won=won,
        lost=lost,
        moved=moved,
        titles=titles,
    )


@plan_router.post("/c/{name}/plan", openapi_extra=describe_form(PROOF_FIELD))
def compute_plan(name: CollectionName, console: ConsoleDependency, _form: ProvenForm) -> Response:
    """Start to compute a plan in the background; nothing is written."""
    start_plan(console, name)
    return redirect_to_page(name, "plan")


def start_plan(console: Console, name: str, path: Path | None = None) -> BackgroundJob:
    """Start to compute a plan of the collection, or to read the one in the file at `path`.

    It then is the one that is shown.
    """
    settings = console.opener.get_settings(name)

    def work(progress: Progress) -> None:
        with console.opener.open_target(name, waits_long=True) as target:
            console.plans.put(name, build_plan_view(target, settings, progress, path))

    return console.jobs.start(("plan", name), f"Computing a plan for {name}", work)


@plan_router.get("/c/{name}/plan/searches")
def show_searches(
    request: Request,
    name: CollectionName,
    console: ConsoleDependency,
    _visitor: VisitorDependency,
    side: Literal["won", "lost"] = "lost",
    page: int = 1,
) -> Response:
    """Show the searches that the plan makes better or worse, side by side."""
    view = _get_view(console, name)
    changes = view.searches.won if side == "won" else view.searches.lost
    page_count = max(1, -(-len(changes) // _CHANGES_PER_PAGE))
    page = min(max(page, 1), page_count)
    shown = changes[(page - 1) * _CHANGES_PER_PAGE : page * _CHANGES_PER_PAGE]
    return render_page(
        request,
        "plan_searches.html.j2",
        title=f"Searches {side}",
        collection=name,
        section="plan",
        view=view,
        side=side,
        changes=shown,
        page=page,
        page_count=page_count,
        titles=find_titles(console, name, _list_points(shown)),
    )


@plan_router.get("/c/{name}/plan/points")
def show_points(
    request: Request,
    name: CollectionName,
    console: ConsoleDependency,
    _visitor: VisitorDependency,
    sort: str = "",
    down: str = "",
    search: str = "",
    page: int = 1,
) -> Response:
    """Show the points that the plan moves, sorted, searched and in pages."""
    view = _get_view(console, name)
    table = cut_page(
        view.moved,
        TableRequest(sort, bool(down), search, page),
        sort_keys={"point": lambda row: rank_id(row.point), "angle": lambda row: row.angle},
        get_text=lambda row: str(row.point),
    )
    return render_page(
        request,
        "plan_points.html.j2",
        title="Points that move",
        collection=name,
        section="plan",
        view=view,
        table=table,
        titles=find_titles(console, name, [row.point for row in table.rows]),
    )


def rank_id(point: PointId) -> tuple[bool, int, str]:
    """Return what ids are sorted by for people: integers by their value, before texts."""
    is_text = isinstance(point, str)
    return is_text, 0 if is_text else int(point), str(point)


def _get_view(console: Console, name: str) -> PlanView:
    view = console.plans.get(name)
    if view is None:
        raise HTTPException(404, "no plan has been computed here yet")
    return view


def _list_points(changes: Iterable[SearchChange]) -> list[PointId]:
    return [
        answer.point
        for change in changes
        for answer in (*change.answers_before, *change.answers_after)
    ]
