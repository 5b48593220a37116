"""Try: one search on the originals, on what is live and on the plan, side by side."""

from __future__ import annotations

from typing import Annotated, TypeAlias
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from nudge_sync.base.progress import Progress
from nudge_sync.connector import PointId
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
from nudge_sync.console.jobs import BackgroundJob, JobKey
from nudge_sync.console.kept_work import KeptWork, visit_work
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
TriedText: TypeAlias = Annotated[str, Query(max_length=MAX_TRIED_LENGTH)]
trial_router = APIRouter()


@trial_router.get("/c/{name}/try")
def show_trial(
    request: Request,
    name: CollectionName,
    console: ConsoleDependency,
    _visitor: VisitorDependency,
    search: str = "",
    query: str = "",
    text: TriedText = "",
) -> Response:
    """List logged searches whose text holds `search`, or show what `query` or `text` answers."""
    settings = console.opener.get_settings(name)
    is_asked = query or text.strip()
    kept = _visit_trial(console, name, query, text.strip()) if is_asked else None
    trial: SearchTrial | None = kept.answer if kept is not None else None
    searches = []
    if kept is None:
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
        job=kept.job if kept is not None else None,
        trial=trial,
        answered_at=kept.answered_at if kept is not None else 0.0,
        is_current=kept is not None and kept.is_current,
        has_plan=console.plans.get(name) is not None,
        titles={} if trial is None else find_titles(console, name, _list_points(trial)),
    )


@trial_router.post("/c/{name}/try", openapi_extra=describe_form(PROOF_FIELD))
def try_again(
    name: CollectionName,
    console: ConsoleDependency,
    _form: ProvenForm,
    query: str = "",
    text: TriedText = "",
) -> Response:
    """Start to try the search again; nothing is written."""
    _start_trying(console, name, query, text.strip())
    asked = {"query": query} if query else {"text": text.strip()}
    return redirect_to_page(name, f"try?{urlencode(asked)}")


def _visit_trial(console: Console, name: str, query_id: str, text: str) -> KeptWork:
    return visit_work(
        console.jobs,
        _build_key(console, name, query_id, text),
        lambda: _start_trying(console, name, query_id, text),
    )


def _build_key(console: Console, name: str, query_id: str, text: str) -> JobKey:
    view = console.plans.get(name)
    # With another plan the work is another.
    return ("trial", name, query_id, text, "" if view is None else view.plan.inputs_digest)


def _start_trying(console: Console, name: str, query_id: str, text: str) -> BackgroundJob:
    view = console.plans.get(name)
    plan = None if view is None else view.plan
    settings = console.opener.get_settings(name)

    def work(progress: Progress) -> SearchTrial:
        with console.opener.open_target(name, waits_long=True) as target:
            if not query_id:
                return try_text(target, settings, text, plan, progress)
            return try_search(target, settings, query_id, plan, progress)

    key = _build_key(console, name, query_id, text)
    return console.jobs.start(key, "Trying a search", work)


def _list_points(trial: SearchTrial) -> list[PointId]:
    rankings = trial.rankings
    lists = (rankings.originals, rankings.live, rankings.planned or [])
    return [answer.point for answers in lists for answer in answers]
