"""`canary start`: show a plan to some sessions before it is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import show_progress
from nudge_sync.cli.tables import print_and_exit
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job, RefusedResult

CanaryPlanOption = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        envvar="NUDGE_SYNC_CANARY_PLAN",
        help="Show this plan; refused if it is stale.",
    ),
]


def start(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    plan_file: CanaryPlanOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show what a cycle would write to some sessions first; nothing is written."""
    from nudge_sync.canary.start import start as start_canary
    from nudge_sync.cli.run import RefusedResult, run_on_collections
    from nudge_sync.planning.plan_file import load_plan

    if plan_file is not None and all_collections:
        raise ConfigError("--plan is the plan of one collection; say which, not --all")
    loaded_plan = load_plan(plan_file) if plan_file else None

    def work(job: Job) -> dict[str, Any] | RefusedResult:
        with show_progress() as progress:
            report = start_canary(job.target, job.settings, loaded_plan, progress)
        if report.reason:
            return RefusedResult(report.summary(), report.reason)
        return report.summary()

    result, exit_code = run_on_collections(config, collection, all_collections, work)
    print_and_exit(result, exit_code, as_json)
