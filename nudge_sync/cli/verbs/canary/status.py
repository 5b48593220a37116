"""`canary status`: what is compared on live traffic, and what the evidence says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from nudge_sync.base.text.percent import format_exact_percent
from nudge_sync.cli import options
from nudge_sync.cli.output import print_line, print_pairs, print_result, print_table

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job

_EFFECTS = {"effect": "all clicks", "unmoved": "guardrail"}


def status(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Say what runs, the effect with its interval, and what follows from it; change nothing."""
    import time

    from nudge_sync.canary.status import read_status
    from nudge_sync.cli.run import run_on_collections

    def work(job: Job) -> dict[str, Any]:
        return read_status(job.target, job.settings, now=time.time()).summary()

    result, exit_code = run_on_collections(config, collection, all_collections, work)
    print_result(result, as_json, _print_statuses)
    raise typer.Exit(exit_code)


def _print_statuses(result: Any) -> None:
    for summary in result if isinstance(result, list) else [result]:
        _print_status(summary)


def _print_status(summary: dict[str, Any]) -> None:
    if "error" in summary:
        print_pairs(str(summary["collection"]), {"error": summary["error"]["message"]})
        return
    experiment = summary["experiment"]
    if experiment is None:
        print_line(f"{summary['collection']}: no experiment runs")
    else:
        shown = {**experiment, "verdict": summary["verdict"], "reason": summary["reason"]}
        share = format_exact_percent(experiment["share"])
        shown |= {"share": f"{share} of the {experiment['unit']}s"}
        shown |= {name: summary[name] for name in ("sessions", "left_out") if summary.get(name)}
        shown.pop("unit")
        print_pairs(str(summary["collection"]), shown)
    if summary.get("sessions"):
        rows = [
            (
                label,
                f"{summary[name]['estimate']:+z.4f}",
                f"{summary[name]['interval'][0]:+z.4f} to {summary[name]['interval'][1]:+z.4f}",
                summary[name]["sessions_needed"],
            )
            for name, label in _EFFECTS.items()
        ]
        columns = ("treatment against control", "effect", "interval", "sessions still needed")
        print_table("", columns, rows)
    if summary["last"] is not None:
        last = {name: value for name, value in summary["last"].items() if name != "evidence"}
        print_pairs("the canary before", last)
