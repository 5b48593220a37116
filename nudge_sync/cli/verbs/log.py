"""`log`: the revisions of a collection."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from nudge_sync.cli import options
from nudge_sync.cli.output import print_result, print_table


def log(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List every revision of a collection, oldest first."""
    from nudge_sync.cli.run import open_job

    with open_job(config, collection) as job:
        entries = job.target.open_ledger().entries()
    print_result([entry.summary() for entry in entries], as_json, _print_log)


def _print_log(summaries: list[dict[str, Any]]) -> None:
    columns = ("revision", "kind", "state", "parent", "method", "cold", "written", "planned_at")
    print_table(
        "", columns, ([_format_field(summary, name) for name in columns] for summary in summaries)
    )


def _format_field(summary: dict[str, Any], name: str) -> Any:
    if name == "cold":
        return _format_cold_change(summary.get("plan"))
    value = summary.get(name)
    if name.endswith("_at") and isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="seconds")
    return value


def _format_cold_change(plan: Any) -> str:
    """Return what the plan did to answers without feedback; "" where it does not say.

    plan: as the ledger has it, where any version may have written anything.
    """
    for name in ("cold", "cold", "mean"):
        plan = plan.get(name) if isinstance(plan, dict) else None
    return f"{plan:+.4f}" if isinstance(plan, float | int) else ""
