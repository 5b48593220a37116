"""`resume`: finish or undo what a crash left half-way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nudge_sync.cli import options
from nudge_sync.cli.output import show_progress
from nudge_sync.cli.tables import print_and_exit

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job


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

    result, exit_code = run_on_collections(config, collection, all_collections, work)
    print_and_exit(result, exit_code, as_json)
