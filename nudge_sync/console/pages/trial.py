"""Try: one search on the originals, on what is live and on the plan, side by side."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from nudge_sync.base.progress import Progress
from nudge_sync.connector import PointId
from nudge_sync.console.context import CollectionName, Console, ConsoleDependency
from nudge_sync.console.guards import VisitorDependency
from nudge_sync.console.jobs import BackgroundJob
from nudge_sync.console.rendering import render_page
from nudge_sync.console.titles import find_titles
from nudge_sync.console.work.trial import (
    MAX_LISTED_SEARCHES,
    SearchTrial,
    list_searches,
    try_search,
    try_text,
)

MAX_TRIED_LENGTH = 2000
"""Characters of a text that is tried."""
trial_router = APIRouter()


@trial_router.get("/c/{name}/try")
def show_trial(
    request: Request,
    name: CollectionName,
    console: ConsoleDependency,
    _visitor: VisitorDependency,
    search: str = "",
    query: str = "",
    text: Annotated[str, Query(max_length=MAX_TRIED_LENGTH)] = "",
) -> Response:
    """List logged searches whose text holds `search`, or show what `query` or `text` answers."""
    settings = console.opener.get_settings(name)
    job = _find_job(console, name, query, text.strip()) if query or text.strip() else None
    trial: SearchTrial | None = job.result if job is not None and job.state == "done" else None
    searches = []
    if job is None:
        with console.opener.open_target(name) as target:
            searches = list_searches(target, settings, search.strip())
    return render_page(
        request,
        "trial.html.j2",
        title="Try",
        collection=name,
        section="try",
        search=search,
        can_embed=settings.feedback.embed is not None,
        searches=searches,
        max_searches=MAX_LISTED_SEARCHES,
        job=job,
        trial=trial,
        has_plan=console.plans.get(name) is not None,
        titles={} if trial is None else find_titles(console, name, _list_points(trial)),
    )


def _find_job(console: Console, name: str, query_id: str, text: str) -> BackgroundJob:
    view = console.plans.get(name)
    plan = None if view is None else view.plan
    # With another plan the work is another.
    key = ("trial", name, query_id, text, "" if plan is None else plan.inputs_digest)
    job = console.jobs.find_latest(*key)
    if job is not None:
        return job
    settings = console.opener.get_settings(name)

    def work(progress: Progress) -> SearchTrial:
        with console.opener.open_target(name, waits_long=True) as target:
            if not query_id:
                return try_text(target, settings, text, plan, progress)
            return try_search(target, settings, query_id, plan, progress)

    return console.jobs.start(key, "Trying a search", work)


def _list_points(trial: SearchTrial) -> list[PointId]:
    rankings = trial.rankings
    lists = (rankings.originals, rankings.live, rankings.planned or [])
    return [answer.point for answers in lists for answer in answers]
