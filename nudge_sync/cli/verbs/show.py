"""`show`: one revision."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import print_pairs, print_result
from nudge_sync.cli.tables import print_scores, select_shown_fields

RevisionArgument = Annotated[
    int, typer.Argument(metavar="REVISION", envvar="NUDGE_SYNC_SHOW_REVISION", help="Its number.")
]


def show(
    revision: RevisionArgument,
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show one revision: method, parameters, scores, counts, timings."""
    from nudge_sync.cli.run import open_job

    with open_job(config, collection) as job:
        summary = job.target.open_ledger().read_entry(revision).summary()
    print_result(summary, as_json, _print_revision)


def _print_revision(summary: dict[str, Any]) -> None:
    plan = summary.get("plan") or {}
    revision = {name: value for name, value in summary.items() if name != "plan"}
    print_pairs("", select_shown_fields(revision))
    if plan:
        print_pairs("\nthe plan it carried out", select_shown_fields(plan))
        print_scores(plan)
