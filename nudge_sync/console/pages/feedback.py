"""Feedback: how much there is, when it came, and what it turns into."""

from __future__ import annotations

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
from nudge_sync.console.rendering import render_page
from nudge_sync.console.titles import find_titles
from nudge_sync.console.work.feedback_view import FeedbackView, build_feedback_view

feedback_router = APIRouter()


@feedback_router.get("/c/{name}/feedback")
def show_feedback(
    request: Request, name: CollectionName, console: ConsoleDependency, _visitor: VisitorDependency
) -> Response:
    """Show the feedback; the first visit starts to count it."""
    job = console.jobs.find_latest("feedback", name) or _start_counting(console, name)
    finished = [each for each in console.jobs.list_jobs("feedback", name) if each.state == "done"]
    view: FeedbackView | None = finished[0].result if finished else None
    return render_page(
        request,
        "feedback.html.j2",
        title="Feedback",
        collection=name,
        section="feedback",
        job=job,
        counted_at=finished[0].finished_at if finished else 0.0,
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
