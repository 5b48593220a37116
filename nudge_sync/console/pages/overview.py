"""The first page: every collection at a glance."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from nudge_sync.console.charts import GainChart, build_gain_chart
from nudge_sync.console.context import Console, ConsoleDependency
from nudge_sync.console.guards import VisitorDependency
from nudge_sync.console.jobs import BackgroundJob
from nudge_sync.console.rendering import render_page
from nudge_sync.console.work.overview import CollectionOverview, describe_collection
from nudge_sync.errors import NudgeSyncError

overview_router = APIRouter()


@dataclass(frozen=True, slots=True)
class OverviewCard:
    """A collection on the first page, or why nothing is known of it."""

    name: str
    overview: CollectionOverview | None
    error: str
    chart: GainChart | None
    next_run: float | None
    """When its next cycle is due, in seconds since 1970; None where no daemon says."""
    drill: BackgroundJob | None
    """The last restore drill that was run here."""


@overview_router.get("/")
def show_overview(
    request: Request, console: ConsoleDependency, _visitor: VisitorDependency
) -> Response:
    """Show every collection."""
    next_runs = console.find_next_runs()
    cards = [_build_card(console, name, next_runs.get(name)) for name in console.config.collections]
    return render_page(
        request, "overview.html.j2", title="Overview", section="overview", cards=cards
    )


def _build_card(console: Console, name: str, next_run: float | None) -> OverviewCard:
    drill = console.jobs.find_latest("drill", name)
    try:
        with console.opener.open_target(name) as target:
            overview = describe_collection(target, console.opener.get_settings(name))
    except NudgeSyncError as error:
        return OverviewCard(name, None, str(error), None, next_run, drill)
    chart = build_gain_chart(overview.gains) if overview.gains else None
    return OverviewCard(name, overview, "", chart, next_run, drill)
