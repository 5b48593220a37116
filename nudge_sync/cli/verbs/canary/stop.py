"""`canary stop`: end what is compared on live traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nudge_sync.cli import options
from nudge_sync.cli.output import show_progress
from nudge_sync.cli.tables import print_and_exit

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job


def stop(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    reason: options.ReasonOption = "",
    by: options.ByOption = "",
    as_json: options.JsonOption = False,
) -> None:
    """End the canary, or the holdback, that runs; no vector is written."""
    from nudge_sync.canary.by_hand import stop as stop_experiment
    from nudge_sync.cli.run import run_on_collections
    from nudge_sync.cli.verbs.hold.hold import describe_operator

    def work(job: Job) -> dict[str, Any]:
        with show_progress() as progress:
            return stop_experiment(
                job.target, job.settings, by or describe_operator(), reason, progress
            ).summary()

    result, exit_code = run_on_collections(config, collection, all_collections, work)
    print_and_exit(result, exit_code, as_json)
