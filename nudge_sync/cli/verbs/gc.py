"""`gc`: drop what no rollback needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nudge_sync.cli import options
from nudge_sync.cli.tables import print_and_exit

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job


def gc(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Drop revisions beyond write.keep_revisions from the history, and what was abandoned.

    Never a point's newest original, nor one that a vector of the history was made from.
    """
    from nudge_sync.cli.run import run_on_collections
    from nudge_sync.store.lease import hold_lease
    from nudge_sync.store.upkeep.gc import collect_garbage, sweep_leftovers

    def work(job: Job) -> dict[str, Any]:
        write = job.settings.write
        with hold_lease(job.target, write.lease_seconds) as lease:
            removed = collect_garbage(job.target, job.target.open_ledger(), write, lease)
            removed += sweep_leftovers(job.target, lease)
        return {"collection": job.target.name, "removed": removed}

    result, exit_code = run_on_collections(config, collection, all_collections, work)
    print_and_exit(result, exit_code, as_json)
