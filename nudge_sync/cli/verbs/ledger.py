"""`log`, `show`, `verify`, `unlock` and `gc`: what was written, and whether it is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import emit, pairs, progress, say, table
from nudge_sync.errors import LeaseHeld

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job

Number = Annotated[
    int, typer.Argument(metavar="REVISION", envvar="NUDGE_SYNC_SHOW_REVISION", help="Its number.")
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        envvar="NUDGE_SYNC_UNLOCK_FORCE",
        help="Take the lease away; only when its holder is gone for certain.",
    ),
]


Drill = Annotated[
    bool,
    typer.Option(
        "--drill",
        envvar="NUDGE_SYNC_VERIFY_DRILL",
        help="Also restore a sample of originals and history into a scratch collection, compare "
        "every bit, and drop it.",
    ),
]
Sample = Annotated[
    int,
    typer.Option(
        envvar="NUDGE_SYNC_VERIFY_SAMPLE", min=0, help="Records of each kind to drill; 0: all."
    ),
]


def log(
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """Every revision of a collection, oldest first."""
    from nudge_sync.store.ledger import Ledger

    def work(job: Job) -> list[dict[str, Any]]:
        entries = Ledger(job.target.ledger_records, job.target.prefix).entries()
        return [entry.summary() for entry in entries]

    emit(_one(config, collection, work), as_json, _draw_log)


def show(
    revision: Number,
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """One revision: method, parameters, scores, counts, timings."""
    from nudge_sync.store.ledger import Ledger

    def work(job: Job) -> dict[str, Any]:
        return Ledger(job.target.ledger_records, job.target.prefix).read_entry(revision).summary()

    emit(_one(config, collection, work), as_json, lambda result: pairs("", result))


def verify(
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    everything: options.All = False,
    drill: Drill = False,
    sample: Sample = 1000,
    as_json: options.Json = False,
) -> None:
    """Compare the collection with shadow and ledger, point by point; writes nothing to it."""
    from nudge_sync.cli.run import each
    from nudge_sync.cli.tables import draw_change
    from nudge_sync.store.restore_drill import run_drill as exercise
    from nudge_sync.store.verify import verify as compare

    def work(job: Job) -> dict[str, Any]:
        with progress() as report:
            done = {"drill": exercise(job.target, sample, progress=report)} if drill else {}
            found = compare(job.target, report).summary()
        drilled = {name: one.summary() for name, one in done.items()}
        return {"collection": job.target.name, **found, **drilled}

    result, code = each(config, collection, everything, work)
    emit(result, as_json, draw_change)
    found = result if isinstance(result, list) else [result]
    raise typer.Exit(max(code, *(not _is_well(one) for one in found)))


def _is_well(found: dict[str, Any]) -> bool:
    return bool(found.get("clean", False) and found.get("drill", {"ok": True})["ok"])


def unlock(
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    force: Force = False,
    as_json: options.Json = False,
) -> None:
    """Say who holds the lease and since when; with --force, take it away."""
    from nudge_sync.store import lease

    def work(job: Job) -> dict[str, Any]:
        # With --force a lease that cannot even be read is replaced.
        holder = None if force else lease.read_active_lease(job.target.ledger_records)
        if holder is not None:
            raise LeaseHeld(f"{holder.describe()} holds it; --force takes it away")
        freed = lease.break_lease(job.target.ledger_records) if force else None
        name = job.target.name
        return {"collection": name, "held_by": freed.describe() if freed else None}

    def draw(result: dict[str, Any]) -> None:
        say(f"taken from {result['held_by']}" if result["held_by"] else "nobody holds it")

    emit(_one(config, collection, work), as_json, draw)


def gc(
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    everything: options.All = False,
    as_json: options.Json = False,
) -> None:
    """Drop revisions beyond write.keep_revisions from the history, and what was abandoned.

    Never a point's newest original, nor one that a vector of the history was made from.
    """
    from nudge_sync.cli.run import each
    from nudge_sync.cli.tables import draw_change
    from nudge_sync.store.gc import collect_garbage
    from nudge_sync.store.lease import hold_lease
    from nudge_sync.store.ledger import Ledger
    from nudge_sync.store.leftovers import sweep_leftovers

    def work(job: Job) -> dict[str, Any]:
        write = job.settings.write
        with hold_lease(job.target.ledger_records, write.lease_seconds):
            ledger = Ledger(job.target.ledger_records, job.target.prefix)
            removed = collect_garbage(job.target, ledger, write) + sweep_leftovers(job.target)
        return {"collection": job.target.name, "removed": removed}

    result, code = each(config, collection, everything, work)
    emit(result, as_json, draw_change)
    raise typer.Exit(code)


def _one(config: Any, collection: str | None, work: Any) -> Any:
    from nudge_sync.cli.run import each

    return each(config, collection, False, work)[0]


def _draw_log(entries: list[dict[str, Any]]) -> None:
    columns = ("revision", "kind", "state", "parent", "method", "written", "planned_at")
    table("", columns, ([_cell(entry, name) for name in columns] for entry in entries))


def _cell(entry: dict[str, Any], name: str) -> Any:
    value = entry.get(name)
    if name.endswith("_at") and isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="seconds")
    return value
