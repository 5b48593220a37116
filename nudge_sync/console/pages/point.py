"""One point: why it moved, through whom, and what it wins and loses."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from nudge_sync.base.progress import Progress
from nudge_sync.console.charts import lay_out_plane
from nudge_sync.console.context import CollectionName, Console, ConsoleDependency
from nudge_sync.console.guards import VisitorDependency
from nudge_sync.console.jobs import BackgroundJob
from nudge_sync.console.rendering import render_page
from nudge_sync.console.titles import find_titles
from nudge_sync.console.work.point_view import PointView, build_point_view

point_router = APIRouter()
MAX_ID_LENGTH = 65_536
_SHOWN_ROWS = 15


@point_router.get("/c/{name}/point")
def show_point(
    request: Request,
    name: CollectionName,
    console: ConsoleDependency,
    _visitor: VisitorDependency,
    wanted_id: Annotated[str, Query(alias="id")] = "",
    again: str = "",
) -> Response:
    """Show a point; the first visit starts the work, which writes nothing."""
    given_id = wanted_id.strip()[:MAX_ID_LENGTH]
    job = _find_job(console, name, given_id, again=bool(again)) if given_id else None
    view: PointView | None = job.result if job is not None and job.state == "done" else None
    titles = {} if view is None else find_titles(console, name, _list_points(view))
    return render_page(
        request,
        "point.html.j2",
        title="Point",
        collection=name,
        section="point",
        given_id=given_id,
        job=job,
        view=view,
        plane=[] if view is None else lay_out_plane(view.picture.items),
        changed=[] if view is None else _list_rank_changes(view),
        shown_rows=_SHOWN_ROWS,
        titles=titles,
    )


def _find_job(console: Console, name: str, given_id: str, *, again: bool) -> BackgroundJob:
    key = ("point", name, given_id)
    job = console.jobs.find_latest(*key)
    if job is not None and not again:
        return job
    settings = console.opener.get_settings(name)

    def work(progress: Progress) -> PointView:
        with console.opener.open_target(name, waits_long=True) as target:
            return build_point_view(target, settings, given_id, progress)

    return console.jobs.start(key, "Explaining a point", work)


def _list_rank_changes(view: PointView) -> list[dict[str, Any]]:
    """Return the searches that the point entered or left, first those that it answers."""
    changes = [*view.explanation["loses"], *view.explanation["wins"]]
    return sorted(changes, key=lambda change: not change["relevant"])


def _list_points(view: PointView) -> list[int | str]:
    # Neighbours are drawn by the text of their id.
    return [view.explanation["point"]]
