"""`hold`: keep cycles from writing to a collection."""

from __future__ import annotations

import getpass
import os
import socket
from typing import TYPE_CHECKING, Any

from nudge_sync.cli import options
from nudge_sync.cli.tables import print_and_exit

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job


def hold(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    reason: options.ReasonOption = "",
    by: options.ByOption = "",
    as_json: options.JsonOption = False,
) -> None:
    """Keep `serve` and `apply` from writing to a collection until `release`."""
    from nudge_sync.cli.run import run_on_collections
    from nudge_sync.store.hold import HoldRequest, place_hold
    from nudge_sync.store.lease import read_active_lease

    def work(job: Job) -> dict[str, Any]:
        placed = place_hold(job.target, HoldRequest(by or describe_operator(), reason))
        holder = read_active_lease(job.target)
        return {
            "collection": job.target.name,
            "hold": placed.summary(),
            # What it has begun to write it finishes.
            "at_work": holder.describe() if holder else None,
        }

    result, exit_code = run_on_collections(config, collection, all_collections, work)
    print_and_exit(result, exit_code, as_json)


def describe_operator() -> str:
    """Return the user and the machine that this process runs as, such as "anna@web1"."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a user that has no name.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
