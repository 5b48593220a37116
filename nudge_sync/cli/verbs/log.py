"""`log`: the revisions of a collection, and who asked for what."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import format_time, format_value, print_result, print_table

_HEADERS = {"planned_at": "planned, UTC"}

ActionsOption = Annotated[
    bool,
    typer.Option(
        "--actions",
        envvar="NUDGE_SYNC_ACTIONS",
        help="List instead who asked for what in the console, when and from where.",
    ),
]


def log(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    actions: ActionsOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """List every revision of a collection, oldest first."""
    from nudge_sync.cli.run import open_job
    from nudge_sync.store.upkeep.audit import read_audit_lines

    with open_job(config, collection) as job:
        if actions:
            lines = [line.summary() for line in read_audit_lines(job.target)]
            print_result(lines, as_json, _print_actions)
            return
        entries = job.target.open_ledger().entries()
    print_result([entry.summary() for entry in entries], as_json, _print_log)


def _print_actions(lines: list[dict[str, Any]]) -> None:
    columns = ("begun_at", "by", "address", "action", "to", "state", "revision", "reason", "error")
    rows = ([format_value(name, line[name] or "") for name in columns] for line in lines)
    print_table("", columns, rows)


def _print_log(summaries: list[dict[str, Any]]) -> None:
    if not summaries:
        typer.echo("no revision yet: `nudge-sync apply` makes the first")
        return
    columns = ("revision", "kind", "state", "method", "cold", "written", "planned_at")
    print_table(
        "",
        [_HEADERS.get(name, name) for name in columns],
        ([_format_field(summary, name) for name in columns] for summary in summaries),
    )


def _format_method(summary: dict[str, Any]) -> str:
    if summary["kind"] == "rollback":
        return f"back to {summary['to']}" if summary["to"] else "back to the originals"
    return str(summary.get("plan", {}).get("method", "back to originals"))


def _format_field(summary: dict[str, Any], name: str) -> Any:
    if name == "method":
        return _format_method(summary)
    if name == "cold":
        change = _look_up(summary, "plan", "cold", "cold", "mean")
        return f"{change:+z.4f}" if isinstance(change, float | int) else ""
    if name == "planned_at" and isinstance(summary.get(name), int):
        return format_time(summary[name])[: len("2026-01-01 00:00")]
    return format_value(name, summary.get(name))


def _look_up(value: Any, *names: str) -> Any:
    """Return what nested objects hold under the names; None where one of them is something else.

    The ledger keeps whatever any version said of a plan.
    """
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
