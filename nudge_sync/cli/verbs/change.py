"""`plan`, `apply`, `rollback` and `resume`: the verbs that move vectors, or say how they would."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import confirm, demand_somebody, emit, progress
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job
    from nudge_sync.config import CollectionSettings

Out = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_PLAN_OUT", help="Keep the plan in this file, for `apply --plan`."
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        envvar="NUDGE_SYNC_APPLY_PLAN",
        help="Carry out this plan; refused if it is stale.",
    ),
]
To = Annotated[
    int | None,
    typer.Option(
        envvar="NUDGE_SYNC_ROLLBACK_TO",
        help="The revision whose vectors come back; default: the last but one.",
    ),
]
Originals = Annotated[
    bool,
    typer.Option(
        "--originals",
        envvar="NUDGE_SYNC_ROLLBACK_ORIGINALS",
        help="Bring back what every vector was before nudge-sync.",
    ),
]


def plan(
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    everything: options.All = False,
    out: Out = None,
    exact: options.Exact = False,
    as_json: options.Json = False,
) -> None:
    """Compute new vectors and what they gain on held-out queries; write nothing."""
    from nudge_sync import cycle
    from nudge_sync.cli.run import each
    from nudge_sync.planning import plan_file

    if out is not None and everything:
        raise ConfigError("--out keeps the plan of one collection; say which, not --all")

    def work(job: Job) -> dict[str, Any]:
        with progress() as report:
            made = cycle.plan(job.target, _settings(job, exact), report)
        if out is not None:
            plan_file.save_plan(made, out)
        return made.summary()

    _finish(each(config, collection, everything, work), as_json)


def apply(
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    everything: options.All = False,
    plan_file: PlanFile = None,
    exact: options.Exact = False,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Run one cycle and write its vectors; `rollback` undoes it."""
    from nudge_sync import cycle
    from nudge_sync.cli.run import each
    from nudge_sync.planning.plan_file import load_plan

    if plan_file is not None and everything:
        raise ConfigError("--plan is the plan of one collection; say which, not --all")
    demand_somebody(yes)
    given = load_plan(plan_file) if plan_file else None

    def work(job: Job) -> dict[str, Any]:
        settings, made = _settings(job, exact), given
        with progress() as report:
            if made is None and not yes:
                made = cycle.plan(job.target, settings, report)
        if made is not None and made.moved:
            confirm(_question(job.target.name, made.summary()), yes)
        with progress() as report:
            return cycle.apply(job.target, settings, made, report).summary()

    _finish(each(config, collection, everything, work), as_json)


def rollback(
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    everything: options.All = False,
    to: To = None,
    originals: Originals = False,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Write back what an earlier revision held; by default, undo the last one."""
    from nudge_sync.cli.run import each
    from nudge_sync.writing.rollback import roll_back

    if to is not None and originals:
        raise ConfigError("say --to or --originals, not both")
    demand_somebody(yes)
    aim = "the originals" if originals else f"revision {to}" if to else "before the last revision"

    def work(job: Job) -> dict[str, Any]:
        confirm(f"Write the vectors of {job.target.name!r} back to {aim}?", yes)
        with progress() as report:
            return roll_back(
                job.target, job.settings, to=to, originals=originals, progress=report
            ).summary()

    _finish(each(config, collection, everything, work), as_json)


def resume(
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    everything: options.All = False,
    as_json: options.Json = False,
) -> None:
    """Finish or undo what a crash left half-way; `apply` does so by itself."""
    from nudge_sync.cli.run import each
    from nudge_sync.writing import resume as resuming

    def work(job: Job) -> dict[str, Any]:
        with progress() as report:
            done = resuming.resume(job.target, job.settings, report)
        return {"collection": job.target.name, "resumed": done is not None, **(done or {})}

    _finish(each(config, collection, everything, work), as_json)


def _settings(job: Job, exact: bool) -> CollectionSettings:
    solver = job.settings.solver.model_copy(update={"exact": True})
    return job.settings.model_copy(update={"solver": solver}) if exact else job.settings


def _question(name: str, summary: dict[str, Any]) -> str:
    if not summary["gate"]["passed"]:
        reasons = "; ".join(summary["gate"]["reasons"])
        return f"{name!r}: {reasons}. {summary['moved']} vectors go back to their originals. Write?"
    gains = ", ".join(
        f"{metric} {before:.4f} -> {summary['after'][metric]:.4f}"
        for metric, before in summary["before"].items()
    )
    return f"{name!r}: {summary['method']} moves {summary['moved']} vectors ({gains}). Write?"


def _finish(outcome: tuple[Any, int], as_json: bool) -> None:
    from nudge_sync.cli.tables import draw_change

    result, code = outcome
    emit(result, as_json, draw_change)
    raise typer.Exit(code)
