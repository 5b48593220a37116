"""`plan`: what a cycle would write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import show_progress
from nudge_sync.cli.tables import print_and_exit
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job

OutOption = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_PLAN_OUT", help="Keep the plan in this file, for `apply --plan`."
    ),
]


def plan(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    out: OutOption = None,
    exact: options.ExactOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Compute new vectors and what they gain on held-out queries; write nothing."""
    from nudge_sync import cycle
    from nudge_sync.cli.run import run_on_collections
    from nudge_sync.planning.plan_file import save_plan
    from nudge_sync.store.hold import read_hold

    if out is not None and all_collections:
        raise ConfigError("--out keeps the plan of one collection; say which, not --all")

    def work(job: Job) -> dict[str, Any]:
        with show_progress() as progress:
            new_plan = cycle.plan(job.target, job.choose_settings(exact), progress)
        if out is not None:
            save_plan(new_plan, out)
        hold = read_hold(job.target)
        return {
            **new_plan.summary(),
            "model": new_plan.summarise_model(),
            "blocks": new_plan.summarise_blocks(),
            "hold": hold.summary() if hold else None,
        }

    result, exit_code = run_on_collections(config, collection, all_collections, work)
    print_and_exit(result, exit_code, as_json)
