"""`show`: one revision."""

from __future__ import annotations

from typing import Annotated

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import print_pairs, print_result

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
    print_result(summary, as_json, lambda shown: print_pairs("", shown))
