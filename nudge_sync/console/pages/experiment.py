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
from nudge_sync.console.kept_work import visit_work
from nudge_sync.console.rendering import render_page

experiment_router = APIRouter()


@experiment_router.get("/c/{name}/experiment")
def show_experiment(
    request: Request, name: CollectionName, console: ConsoleDependency, _visitor: VisitorDependency
) -> Response:
    """Show what is compared, and the evidence; a visit reads it where it is not fresh."""
    kept = visit_work(console.jobs, ("experiment", name), lambda: _start_reading(console, name))
    return render_page(
        request,
        "experiment.html.j2",
        title="Experiment",
        collection=name,
        section="experiment",
        job=kept.job,
        read_at=kept.answered_at,
        evidence=kept.answer,
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
