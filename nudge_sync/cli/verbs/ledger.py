"""`log`, `show`, `verify`, `unlock` and `gc`: what was written, and whether it is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import print_line, print_pairs, print_result, print_table, show_progress
from nudge_sync.errors import LeaseHeld

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job

RevisionArgument = Annotated[
    int, typer.Argument(metavar="REVISION", envvar="NUDGE_SYNC_SHOW_REVISION", help="Its number.")
]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force",
        envvar="NUDGE_SYNC_UNLOCK_FORCE",
        help="Take the lease away; only when its holder is gone for certain.",
    ),
]


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


def log(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Every revision of a collection, oldest first."""

    def work(job: Job) -> list[dict[str, Any]]:
        entries = job.target.open_ledger().entries()
        return [entry.summary() for entry in entries]

    print_result(_run_on_one_collection(config, collection, work), as_json, _print_log)


def show(
    revision: RevisionArgument,
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """One revision: method, parameters, scores, counts, timings."""

    def work(job: Job) -> dict[str, Any]:
        return job.target.open_ledger().read_entry(revision).summary()

    print_result(
        _run_on_one_collection(config, collection, work),
        as_json,
        lambda result: print_pairs("", result),
    )


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
    from nudge_sync.cli.tables import print_summaries
    from nudge_sync.store.restore_drill import run_drill as exercise
    from nudge_sync.store.verify import verify as compare

    def work(job: Job) -> dict[str, Any]:
        with show_progress() as progress:
            drills = {"drill": exercise(job.target, sample, progress=progress)} if drill else {}
            verification = compare(job.target, progress).summary()
        drill_summaries = {name: drill_result.summary() for name, drill_result in drills.items()}
        return {"collection": job.target.name, **verification, **drill_summaries}

    result, code = run_on_collections(config, collection, all_collections, work)
    print_result(result, as_json, print_summaries)
    summaries = result if isinstance(result, list) else [result]
    raise typer.Exit(max(code, *(not _is_clean(summary) for summary in summaries)))


def _is_clean(summary: dict[str, Any]) -> bool:
    return bool(summary.get("clean", False) and summary.get("drill", {"ok": True})["ok"])


def unlock(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    force: ForceOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Say who holds the lease and since when; with --force, take it away."""
    from nudge_sync.store import lease

    def work(job: Job) -> dict[str, Any]:
        # With --force a lease that cannot even be read is replaced.
        holder = None if force else lease.read_active_lease(job.target)
        if holder is not None:
            raise LeaseHeld(f"{holder.describe()} holds it; --force takes it away")
        previous_holder = lease.break_lease(job.target) if force else None
        name = job.target.name
        return {
            "collection": name,
            "held_by": previous_holder.describe() if previous_holder else None,
        }

    def print_holder(result: dict[str, Any]) -> None:
        print_line(f"taken from {result['held_by']}" if result["held_by"] else "nobody holds it")

    print_result(_run_on_one_collection(config, collection, work), as_json, print_holder)


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
    from nudge_sync.cli.tables import print_summaries
    from nudge_sync.store.gc import collect_garbage, sweep_leftovers
    from nudge_sync.store.lease import hold_lease

    def work(job: Job) -> dict[str, Any]:
        write = job.settings.write
        with hold_lease(job.target, write.lease_seconds):
            ledger = job.target.open_ledger()
            removed = collect_garbage(job.target, ledger, write) + sweep_leftovers(job.target)
        return {"collection": job.target.name, "removed": removed}

    result, code = run_on_collections(config, collection, all_collections, work)
    print_result(result, as_json, print_summaries)
    raise typer.Exit(code)


def _run_on_one_collection(config: Any, collection: str | None, work: Any) -> Any:
    from nudge_sync.cli.run import run_on_collections

    return run_on_collections(config, collection, False, work)[0]


def _print_log(entries: list[dict[str, Any]]) -> None:
    columns = ("revision", "kind", "state", "parent", "method", "written", "planned_at")
    print_table(
        "", columns, ([_format_field(entry, name) for name in columns] for entry in entries)
    )


def _format_field(entry: dict[str, Any], name: str) -> Any:
    value = entry.get(name)
    if name.endswith("_at") and isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="seconds")
    return value
