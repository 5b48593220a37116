"""`unlock`: who holds the lease, and how to take it away."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import print_line, print_result
from nudge_sync.errors import LeaseHeld

TakeAwayOption = Annotated[
    bool,
    typer.Option(
        "--force",
        envvar="NUDGE_SYNC_UNLOCK_FORCE",
        help="Take the lease away; only when its holder is gone for certain.",
    ),
]


def unlock(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    force: TakeAwayOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Say who holds the lease and since when; with --force, take it away."""
    from nudge_sync.cli.run import open_job
    from nudge_sync.store import lease

    with open_job(config, collection) as job:
        # With --force a lease that cannot even be read is replaced.
        holder = lease.break_lease(job.target) if force else lease.read_active_lease(job.target)
        if holder is not None and not force:
            raise LeaseHeld(f"{holder.describe()} holds it; --force takes it away")
    result = {"collection": job.target.name, "held_by": holder.describe() if holder else None}
    print_result(result, as_json, _print_holder)


def _print_holder(result: dict[str, Any]) -> None:
    print_line(f"taken from {result['held_by']}" if result["held_by"] else "nobody holds it")
