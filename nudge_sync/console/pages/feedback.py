"""Feedback: how much there is, when it came, and what it turns into."""

from __future__ import annotations

import math

from fastapi import APIRouter, Request
from fastapi.responses import Response

from nudge_sync.base.progress import Progress
from nudge_sync.connector import PointId
from nudge_sync.console.charts import BarChart, build_day_bars
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
from nudge_sync.console.kept_work import visit_work
from nudge_sync.console.rendering import render_page
from nudge_sync.console.titles import find_titles
from nudge_sync.console.work.feedback_view import FeedbackView, build_feedback_view

feedback_router = APIRouter()


@feedback_router.get("/c/{name}/feedback")
def show_feedback(
    request: Request, name: CollectionName, console: ConsoleDependency, _visitor: VisitorDependency
) -> Response:
    """Show the feedback; a visit starts to count it where there is no count yet."""
    kept = visit_work(
        console.jobs,
        ("feedback", name),
        lambda: _start_counting(console, name),
        # Counting a large log takes long; the page says how old its count is.
        fresh_seconds=math.inf,
    )
    view: FeedbackView | None = kept.answer
    return render_page(
        request,
        "feedback.html.j2",
        title="Feedback",
        collection=name,
        section="feedback",
        job=kept.job,
        counted_at=kept.answered_at,
        view=view,
        searches_chart=_draw_days(view, "searches"),
        events_chart=_draw_days(view, "events"),
        titles=find_titles(console, name, _list_points(view)),
        has_daemon=console.list_intake is not None,
        intake=console.list_intake(name) if console.list_intake is not None else [],
    )


@feedback_router.post("/c/{name}/feedback", openapi_extra=describe_form(PROOF_FIELD))
def count_again(name: CollectionName, console: ConsoleDependency, _form: ProvenForm) -> Response:
    """Start to count the feedback again; nothing is written."""
    _start_counting(console, name)
    return redirect_to_page(name, "feedback")


def _list_points(view: FeedbackView | None) -> list[PointId]:
    if view is None:
        return []
    return [*(event.point for event in view.newest), *view.stats["pushed"]]


def _start_counting(console: Console, name: str) -> BackgroundJob:
    settings = console.opener.get_settings(name)

    def work(progress: Progress) -> FeedbackView:
        with console.opener.open_target(name, waits_long=True) as target:
            return build_feedback_view(target, settings, progress)

    return console.jobs.start(("feedback", name), f"Counting the feedback of {name}", work)


def _draw_days(view: FeedbackView | None, what: str) -> BarChart | None:
    if view is None or not view.days:
        return None
    counts = [day.searches if what == "searches" else day.events for day in view.days]
    return build_day_bars([day.day for day in view.days], counts, what)
