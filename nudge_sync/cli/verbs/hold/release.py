"""`release`: let cycles write to a collection again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nudge_sync.cli import options
from nudge_sync.cli.tables import print_and_exit

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job


def release(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """End the hold of a collection: the next cycle may write again."""
    from nudge_sync.cli.run import run_on_collections
    from nudge_sync.store.hold import release_hold

    def work(job: Job) -> dict[str, Any]:
        released = release_hold(job.target)
        return {
            "collection": job.target.name,
            "released": released is not None,
            "hold": released.summary() if released else None,
        }

    result, exit_code = run_on_collections(config, collection, all_collections, work)
    print_and_exit(result, exit_code, as_json)
