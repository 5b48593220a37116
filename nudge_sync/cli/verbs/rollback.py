"""`rollback`: write back what an earlier revision held, or the originals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import confirm, require_terminal, show_progress
from nudge_sync.cli.tables import print_and_exit
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job

ToOption = Annotated[
    int | None,
    typer.Option(
        envvar="NUDGE_SYNC_ROLLBACK_TO",
        help="The revision whose vectors come back, 0: the originals; default: the one before "
        "the last.",
    ),
]
LastOption = Annotated[
    int | None,
    typer.Option(
        envvar="NUDGE_SYNC_ROLLBACK_LAST",
        help="The revision to undo: refused where another one is the last by now, so that the "
        "same command twice does not go back twice.",
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
DriftedOption = Annotated[
    bool,
    typer.Option(
        "--drifted",
        envvar="NUDGE_SYNC_ROLLBACK_DRIFTED",
        help="With --originals, after a restore: also to points whose vector nobody knows.",
    ),
]


def rollback(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    to: ToOption = None,
    last: LastOption = None,
    originals: OriginalsOption = False,
    drifted: DriftedOption = False,
    reason: options.ReasonOption = "",
    by: options.ByOption = "",
    yes: options.YesOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Undo the last revision, or go back to an earlier one; cycles then wait for `release`."""
    from nudge_sync.cli.run import run_on_collections
    from nudge_sync.cli.verbs.hold.hold import describe_operator
    from nudge_sync.store.hold import HoldRequest
    from nudge_sync.writing.rollback import find_last_revision, roll_back

    if to is not None and originals:
        raise ConfigError("say --to or --originals, not both")
    if drifted and not originals:
        raise ConfigError("--drifted goes with --originals")
    require_terminal(yes)
    restored_state = _describe_goal(0 if originals else to)
    request = HoldRequest(by or describe_operator(), reason or f"rolled back to {restored_state}")

    def work(job: Job) -> dict[str, Any]:
        confirmed = last
        question = f"Write the vectors of {job.target.name!r} back to {restored_state}?"
        if to is None and not originals and not yes:
            current = find_last_revision(job.target.open_ledger().entries())
            confirmed = current if last is None else last
            question = f"The last revision is {current or 'none'}. {question}"
        confirm(question, yes)
        with show_progress() as progress:
            return roll_back(
                job.target,
                job.settings,
                to=to,
                originals=originals,
                overwrite_drifted=drifted,
                hold=request,
                last=confirmed,
                progress=progress,
            ).summary()

    result, exit_code = run_on_collections(config, collection, all_collections, work)
    print_and_exit(result, exit_code, as_json)


def _describe_goal(to: int | None) -> str:
    """Name the state to go back to: revision `to`, 0 for the originals, None for the default."""
    if to is None:
        return "before the last revision"
    return f"revision {to}" if to else "the originals"
