"""The canary or the holdback that runs on live traffic, and what its evidence says."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from nudge_sync.base.progress import Progress
from nudge_sync.canary.status import read_status
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

FRESH_SECONDS = 60.0
"""How long the evidence is shown before a visit reads the log again."""
experiment_router = APIRouter()


@experiment_router.get("/c/{name}/experiment")
def show_experiment(
    request: Request, name: CollectionName, console: ConsoleDependency, _visitor: VisitorDependency
) -> Response:
    """Show what is compared, and the evidence; a visit reads it where it is not fresh."""
    job = console.jobs.find_latest("experiment", name)
    if job is None or (job.is_finished and time.time() - job.finished_at > FRESH_SECONDS):
        job = _start_reading(console, name)
    finished = [each for each in console.jobs.list_jobs("experiment", name) if each.state == "done"]
    return render_page(
        request,
        "experiment.html.j2",
        title="Experiment",
        collection=name,
        section="experiment",
        job=job,
        read_at=finished[0].finished_at if finished else 0.0,
        evidence=finished[0].result if finished else None,
    )


@experiment_router.post("/c/{name}/experiment", openapi_extra=describe_form(PROOF_FIELD))
def read_again(name: CollectionName, console: ConsoleDependency, _form: ProvenForm) -> Response:
    """Start to read the evidence again; nothing is written."""
    _start_reading(console, name)
    return redirect_to_page(name, "experiment")


def _start_reading(console: Console, name: str) -> BackgroundJob:
    settings = console.opener.get_settings(name)

    def work(_progress: Progress) -> dict[str, Any]:
        with console.opener.open_target(name, waits_long=True) as target:
            return read_status(target, settings, now=time.time()).summary()

    return console.jobs.start(("experiment", name), f"Reading the experiment of {name}", work)
