"""`verify`: whether what was written is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import show_progress
from nudge_sync.cli.tables import print_and_exit

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job

DrillOption = Annotated[
    bool,
    typer.Option(
        "--drill",
        envvar="NUDGE_SYNC_VERIFY_DRILL",
        help="Also restore a sample of originals and history into a scratch collection, compare "
        "every bit, and drop it.",
    ),
]
SampleOption = Annotated[
    int,
    typer.Option(
        envvar="NUDGE_SYNC_VERIFY_SAMPLE", min=0, help="Records of each kind to drill; 0: all."
    ),
]


def verify(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    drill: DrillOption = False,
    sample: SampleOption = 1000,
    as_json: options.JsonOption = False,
) -> None:
    """Compare the collection with shadow and ledger, point by point; writes nothing to it."""
    from nudge_sync.cli.run import run_on_collections
    from nudge_sync.store.upkeep.restore_drill import run_drill
    from nudge_sync.store.upkeep.verify import verify as compare_with_ledger

    def work(job: Job) -> dict[str, Any]:
        drill_summary = {}
        with show_progress() as progress:
            if drill:
                drill_summary["drill"] = run_drill(job.target, sample, progress=progress).summary()
            verification = compare_with_ledger(job.target, progress)
        return {"collection": job.target.name, **verification.summary(), **drill_summary}

    result, exit_code = run_on_collections(config, collection, all_collections, work)
    summaries = result if isinstance(result, list) else [result]
    is_clean = all(map(_is_clean, summaries))
    print_and_exit(result, max(exit_code, not is_clean), as_json)


def _is_clean(summary: dict[str, Any]) -> bool:
    return bool(summary.get("clean", False) and summary.get("drill", {"ok": True})["ok"])
