"""The experiment that runs on live traffic, if one does."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from nudge_sync.console.context import CollectionName, ConsoleDependency
from nudge_sync.console.guards import VisitorDependency
from nudge_sync.console.rendering import render_page
from nudge_sync.store.experiments.running import read_running_experiment

experiment_router = APIRouter()


@experiment_router.get("/c/{name}/experiment")
def show_experiment(
    request: Request, name: CollectionName, console: ConsoleDependency, _visitor: VisitorDependency
) -> Response:
    """Show what is compared on live traffic, or that nothing is."""
    with console.opener.open_target(name) as target:
        running = read_running_experiment(target)
    return render_page(
        request,
        "experiment.html.j2",
        title="Experiment",
        collection=name,
        section="experiment",
        running=running,
    )
