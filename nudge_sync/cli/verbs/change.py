"""`plan`, `apply`, `rollback` and `resume`: the verbs that move vectors, or say how they would."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import confirm, print_result, require_terminal, show_progress
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job
    from nudge_sync.config import CollectionSettings

PlanOutOption = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_PLAN_OUT", help="Keep the plan in this file, for `apply --plan`."
    ),
]
PlanFileOption = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        envvar="NUDGE_SYNC_APPLY_PLAN",
        help="Carry out this plan; refused if it is stale.",
    ),
]
RevisionOption = Annotated[
    int | None,
    typer.Option(
        envvar="NUDGE_SYNC_ROLLBACK_TO",
        help="The revision whose vectors come back; default: the last but one.",
    ),
]
OriginalsOption = Annotated[
    bool,
    typer.Option(
        "--originals",
        envvar="NUDGE_SYNC_ROLLBACK_ORIGINALS",
        help="Bring back what every vector was before nudge-sync.",
    ),
]


def plan(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    out: PlanOutOption = None,
    exact: options.ExactOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Compute new vectors and what they gain on held-out queries; write nothing."""
    from nudge_sync import cycle
    from nudge_sync.cli.run import run_on_collections
    from nudge_sync.planning import plan_file

    if out is not None and all_collections:
        raise ConfigError("--out keeps the plan of one collection; say which, not --all")

    def work(job: Job) -> dict[str, Any]:
        with show_progress() as progress:
            new_plan = cycle.plan(job.target, _apply_exact_option(job, exact), progress)
        if out is not None:
            plan_file.save_plan(new_plan, out)
        return new_plan.summary()

    _print_and_exit(run_on_collections(config, collection, all_collections, work), as_json)


def apply(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    plan_file: PlanFileOption = None,
    exact: options.ExactOption = False,
    yes: options.YesOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Run one cycle and write its vectors; `rollback` undoes it."""
    from nudge_sync import cycle
    from nudge_sync.cli.run import RefusedResult, run_on_collections
    from nudge_sync.planning.plan_file import load_plan

    if plan_file is not None and all_collections:
        raise ConfigError("--plan is the plan of one collection; say which, not --all")
    require_terminal(yes)
    loaded_plan = load_plan(plan_file) if plan_file else None

    def work(job: Job) -> dict[str, Any] | RefusedResult:
        settings, current_plan = _apply_exact_option(job, exact), loaded_plan
        with show_progress() as progress:
            if current_plan is None and not yes:
                current_plan = cycle.plan(job.target, settings, progress)
        if current_plan is not None and current_plan.rows:
            confirm(_format_question(job.target.name, current_plan.summary()), yes)
        with show_progress() as progress:
            report = cycle.apply(job.target, settings, current_plan, progress)
        if report.reason:
            return RefusedResult(report.summary(), report.reason)
        return report.summary()

    _print_and_exit(run_on_collections(config, collection, all_collections, work), as_json)


def rollback(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    to: RevisionOption = None,
    originals: OriginalsOption = False,
    yes: options.YesOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Write back what an earlier revision held; by default, undo the last one."""
    from nudge_sync.cli.run import run_on_collections
    from nudge_sync.writing.rollback import roll_back

    if to is not None and originals:
        raise ConfigError("say --to or --originals, not both")
    require_terminal(yes)
    restored_state = (
        "the originals" if originals else f"revision {to}" if to else "before the last revision"
    )

    def work(job: Job) -> dict[str, Any]:
        confirm(f"Write the vectors of {job.target.name!r} back to {restored_state}?", yes)
        with show_progress() as progress:
            return roll_back(
                job.target, job.settings, to=to, originals=originals, progress=progress
            ).summary()

    _print_and_exit(run_on_collections(config, collection, all_collections, work), as_json)


def resume(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Finish or undo what a crash left half-way; `apply` does so by itself."""
    from nudge_sync.cli.run import run_on_collections
    from nudge_sync.writing import resume as resuming

    def work(job: Job) -> dict[str, Any]:
        with show_progress() as progress:
            resumed = resuming.resume(job.target, job.settings, progress)
        return {"collection": job.target.name, "resumed": resumed is not None, **(resumed or {})}

    _print_and_exit(run_on_collections(config, collection, all_collections, work), as_json)


def _apply_exact_option(job: Job, exact: bool) -> CollectionSettings:
    solver = job.settings.solver.model_copy(update={"exact": True})
    return job.settings.model_copy(update={"solver": solver}) if exact else job.settings


def _format_question(name: str, summary: dict[str, Any]) -> str:
    if not summary["gate"]["passed"]:
        reasons = "; ".join(summary["gate"]["reasons"])
        return f"{name!r}: {reasons}. {summary['moved']} vectors go back to their originals. Write?"
    gains = ", ".join(
        f"{metric} {before:.4f} -> {summary['after'][metric]:.4f}"
        for metric, before in summary["before"].items()
    )
    return f"{name!r}: {summary['method']} moves {summary['moved']} vectors ({gains}). Write?"


def _print_and_exit(outcome: tuple[Any, int], as_json: bool) -> None:
    from nudge_sync.cli.tables import print_summaries

    result, code = outcome
    print_result(result, as_json, print_summaries)
    raise typer.Exit(code)
