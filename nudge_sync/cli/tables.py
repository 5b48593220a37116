"""What a cycle did, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import typer

from nudge_sync.base.text.percent import format_percent
from nudge_sync.cli.output import (
    format_difference,
    format_value,
    print_pairs,
    print_result,
    print_table,
)

_SCORE_FIELDS = ("before", "after")
_COUNTED_FIELDS = ("drifted", "missing")
_OMITTED_FIELDS = {
    "cold",
    "model",
    "index_recall",
    "erasure_pending",
    *_SCORE_FIELDS,
    *(f"{name}_ids" for name in _COUNTED_FIELDS),
}
_SETTLED_NOTE = (
    "nothing to write: every point holds already what this plan says. What the gate says is gained "
    "is gained over the originals"
)
_SHARE_SOURCES = {
    "log": "as estimated from what searches showed",
    "assumed": "assumed, since no search logged what it showed",
    "settings": "as solver.cold_share says",
}
_REFERENCES = {"exact": "an exact search", "wide": "a much wider search"}


def print_and_exit(result: Any, exit_code: int, as_json: bool) -> NoReturn:
    """Print one summary, or a list of them, and end the program with `exit_code`."""
    print_result(result, as_json, _print_summaries)
    raise typer.Exit(exit_code)


def _print_summaries(result: Any) -> None:
    for summary in result if isinstance(result, list) else [result]:
        _print_summary(summary)


def _print_summary(summary: Mapping[str, Any]) -> None:
    print_pairs(str(summary.get("collection", "")), select_shown_fields(summary))
    print_scores(summary)
    if summary.get("cold"):
        _print_cold(summary["cold"], str(summary["metric"]))
    if summary.get("index_recall"):
        typer.echo(format_recall(summary["index_recall"]))
    if summary.get("hold") and "released" not in summary:
        typer.echo("on hold: no cycle writes to this collection until `nudge-sync release`")
    if summary.get("erasure_pending"):
        typer.echo(
            "these vectors learned from feedback that was removed since: the next cycle takes it "
            "out of them, or at once `nudge-sync rollback --originals`"
        )


def select_shown_fields(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a summary that people are shown above its scores, in their words."""
    shown = {name: value for name, value in summary.items() if name not in _OMITTED_FIELDS}
    for name in _COUNTED_FIELDS:
        ids = summary.get(f"{name}_ids")
        if ids:
            shown[name] = f"{summary[name]}: {format_value(name, ids)}"
    if isinstance(summary.get("gate"), Mapping):
        verdict = "passed" if summary["gate"]["passed"] else "refused"
        shown["gate"] = f"{verdict}: {format_value('reasons', summary['gate']['reasons'])}"
    if isinstance(summary.get("live"), Mapping):
        shown["live"] = _format_live(summary["live"])
    if isinstance(summary.get("error"), Mapping):
        shown["error"] = summary["error"]["message"]
    return shown


def _format_live(live: Mapping[str, Any]) -> str:
    """Return what the live index answered after the write, and whether that was a loss."""
    scores = format_value("after", live.get("after") or {})
    return f"{scores}; {'a loss' if live.get('lost') else 'no loss'}" if scores else ""


def print_scores(summary: Mapping[str, Any]) -> None:
    """Print the held-out scores of a plan before and after, if the summary has any."""
    before, after = (summary.get(name) for name in _SCORE_FIELDS)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        _print_score_table(before, after)
    if _is_settled(summary):
        typer.echo(_SETTLED_NOTE)


def _is_settled(summary: Mapping[str, Any]) -> bool:
    """Return whether the gate passed a plan that has nothing left to write."""
    gate = summary.get("gate")
    return isinstance(gate, Mapping) and gate["passed"] and summary.get("moved") == 0


def _print_score_table(before: Mapping[str, float], after: Mapping[str, float]) -> None:
    rows = (
        (name, value, after.get(name), format_difference(value, after.get(name)))
        for name, value in before.items()
    )
    print_table("\nas planned", ("held-out queries", "before", "after", ""), rows)


def _print_cold(cold: Mapping[str, Any], metric: str) -> None:
    """Print what answers with and without feedback gain over the originals."""
    title = (
        f"\nanswers without feedback count {format_percent(cold['share'])} in the choice, "
        f"{_SHARE_SOURCES.get(cold['source'], cold['source'])}"
    )
    print_answer_gains(title, cold, metric)


def print_answer_gains(title: str, gains: Mapping[str, Any], metric: str) -> None:
    """Print what answers with and without feedback gain.

    gains: `warm` and `cold`, each with `mean`, `low`, `high` and `queries`, or null.
    """
    kinds = (("with feedback", gains["warm"]), ("without feedback", gains["cold"]))
    rows = [
        (kind, f"{gain['mean']:+z.4f}", _format_interval(gain), gain["queries"])
        for kind, gain in kinds
        if gain is not None
    ]
    print_table(title, ("answers", f"{metric} change", "interval", "held-out queries"), rows)


def format_recall(recall: Mapping[str, Any]) -> str:
    """Return how much the index finds, and the warning where that is too little."""
    if recall["warning"]:
        return f"\nwarning: {recall['warning']}"
    share = format_percent(recall["share"], 1)
    return (
        f"\nthe index finds {share} of the unjudged points near a query: "
        f"{recall['queries']} queries compared with {_REFERENCES[recall['reference']]}"
    )


def _format_interval(gain: Mapping[str, Any]) -> str:
    """Return the interval of a gain; "unknown" where too few queries tell."""
    if gain["low"] is None or gain["high"] is None:
        return "unknown"
    return f"{gain['low']:+z.4f} to {gain['high']:+z.4f}"
