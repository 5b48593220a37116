"""One point: why it moved, through whom, and what it wins and loses."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from nudge_sync.base.progress import Progress
from nudge_sync.console.charts import lay_out_plane
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
from nudge_sync.console.work.point_view import PointView, build_point_view

point_router = APIRouter()
MAX_ID_LENGTH = 65_536
_SHOWN_ROWS = 15
WantedId: TypeAlias = Annotated[str, Query(alias="id")]


@point_router.get("/c/{name}/point")
def show_point(
    request: Request,
    name: CollectionName,
    console: ConsoleDependency,
    _visitor: VisitorDependency,
    wanted_id: WantedId = "",
) -> Response:
    """Show a point; a visit starts the work where its answer is not fresh, and writes nothing."""
    given_id = _clean_id(wanted_id)
    kept = _visit_point(console, name, given_id) if given_id else None
    view: PointView | None = kept.answer if kept is not None else None
    titles = {} if view is None else find_titles(console, name, _list_points(view))
    return render_page(
        request,
        "point.html.j2",
        title="Point",
        collection=name,
        section="point",
        given_id=given_id,
        job=kept.job if kept is not None else None,
        answered_at=kept.answered_at if kept is not None else 0.0,
        view=view,
        plane=[] if view is None else lay_out_plane(view.picture.items),
        changed=[] if view is None else _list_rank_changes(view),
        shown_rows=_SHOWN_ROWS,
        titles=titles,
    )


@point_router.post("/c/{name}/point", openapi_extra=describe_form(PROOF_FIELD))
def explain_again(
    name: CollectionName, console: ConsoleDependency, _form: ProvenForm, wanted_id: WantedId = ""
) -> Response:
    """Start to explain the point again; nothing is written."""
    given_id = _clean_id(wanted_id)
    _start_explaining(console, name, given_id)
    return redirect_to_page(name, f"point?{urlencode({'id': given_id})}")


def _clean_id(wanted_id: str) -> str:
    return wanted_id.strip()[:MAX_ID_LENGTH]


def _visit_point(console: Console, name: str, given_id: str) -> KeptWork:
    return visit_work(
        console.jobs,
        _build_key(name, given_id),
        lambda: _start_explaining(console, name, given_id),
    )


def _build_key(name: str, given_id: str) -> JobKey:
    return ("point", name, given_id)


def _start_explaining(console: Console, name: str, given_id: str) -> BackgroundJob:
    settings = console.opener.get_settings(name)

    def work(progress: Progress) -> PointView:
        with console.opener.open_target(name, waits_long=True) as target:
            return build_point_view(target, settings, given_id, progress)

    return console.jobs.start(_build_key(name, given_id), "Explaining a point", work)


def _list_rank_changes(view: PointView) -> list[dict[str, Any]]:
    """Return the searches that the point entered or left, first those that it answers."""
    changes = [*view.explanation["loses"], *view.explanation["wins"]]
    return sorted(changes, key=lambda change: not change["relevant"])


def _list_points(view: PointView) -> list[int | str]:
    # Neighbours are drawn by the text of their id.
    return [view.explanation["point"]]
