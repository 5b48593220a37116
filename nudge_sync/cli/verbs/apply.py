"""`apply`: one cycle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import confirm, require_terminal, show_progress
from nudge_sync.cli.tables import print_and_exit
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job, RefusedResult

PlanFileOption = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        envvar="NUDGE_SYNC_APPLY_PLAN",
        help="Carry out this plan; refused if it is stale.",
    ),
]


ReleaseOption = Annotated[
    bool,
    typer.Option(
        "--release",
        envvar="NUDGE_SYNC_APPLY_RELEASE",
        help="End the hold that the collection may be on, then run the cycle.",
    ),
]


def apply(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    plan_file: PlanFileOption = None,
    exact: options.ExactOption = False,
    release: ReleaseOption = False,
    yes: options.YesOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Run one cycle and write its vectors; `rollback` undoes it."""
    from nudge_sync import cycle
    from nudge_sync.cli.run import RefusedResult, run_on_collections
    from nudge_sync.planning.plan_file import load_plan
    from nudge_sync.store.hold import refuse_hold

    if plan_file is not None and all_collections:
        raise ConfigError("--plan is the plan of one collection; say which, not --all")
    require_terminal(yes)
    loaded_plan = load_plan(plan_file) if plan_file else None

    def work(job: Job) -> dict[str, Any] | RefusedResult:
        settings, current_plan = job.choose_settings(exact), loaded_plan
        if not release and not yes:
            # Before a plan is made and shown that could not be written.
            refuse_hold(job.target)
        if current_plan is None and not yes:
            with show_progress() as progress:
                current_plan = cycle.plan(job.target, settings, progress)
        if current_plan is not None and current_plan.rows:
            confirm(_format_question(job.target.name, current_plan.summary()), yes)
        with show_progress() as progress:
            report = cycle.apply(job.target, settings, current_plan, progress, release=release)
        if report.reason:
            return RefusedResult(report.summary(), report.reason)
        return report.summary()

    result, exit_code = run_on_collections(config, collection, all_collections, work)
    print_and_exit(result, exit_code, as_json)


def _format_question(name: str, summary: dict[str, Any]) -> str:
    if not summary["gate"]["passed"]:
        reasons = "; ".join(summary["gate"]["reasons"])
        return f"{name!r}: {reasons}. {summary['moved']} vectors go back to their originals. Write?"
    gains = ", ".join(
        f"{metric} {before:.4f} -> {summary['after'][metric]:.4f}"
        for metric, before in summary["before"].items()
    )
    cold = (summary.get("cold") or {}).get("cold")
    if cold is not None:
        gains += f"; answers without feedback {cold['mean']:+z.4f}"
    return f"{name!r}: {summary['method']} moves {summary['moved']} vectors ({gains}). Write?"
