"""What a cycle did, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import typer

from nudge_sync.cli.output import format_difference, print_pairs, print_result, print_table

_SCORE_FIELDS = ("before", "after")
_SHARE_SOURCES = {
    "log": "as estimated from what searches showed",
    "assumed": "assumed, since no search logged what it showed",
    "settings": "as solver.cold_share says",
}


def print_and_exit(result: Any, exit_code: int, as_json: bool) -> NoReturn:
    """Print one summary, or a list of them, and end the program with `exit_code`."""
    print_result(result, as_json, _print_summaries)
    raise typer.Exit(exit_code)


def _print_summaries(result: Any) -> None:
    for summary in result if isinstance(result, list) else [result]:
        _print_summary(summary)


def _print_summary(summary: Mapping[str, Any]) -> None:
    rest = {key: value for key, value in summary.items() if key not in {*_SCORE_FIELDS, "cold"}}
    print_pairs(str(summary.get("collection", "")), rest)
    before, after = (summary.get(name) for name in _SCORE_FIELDS)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        _print_scores(before, after)
    if summary.get("cold"):
        _print_cold(summary["cold"], str(summary["metric"]))


def _print_scores(before: Mapping[str, float], after: Mapping[str, float]) -> None:
    rows = (
        (name, value, after.get(name), format_difference(value, after.get(name)))
        for name, value in before.items()
    )
    print_table("", ("held-out queries", "before", "after", ""), rows)


def _print_cold(cold: Mapping[str, Any], metric: str) -> None:
    """Print what answers with and without feedback gain over the originals."""
    title = (
        f"\nanswers without feedback count {cold['share']:.0%} in the choice, "
        f"{_SHARE_SOURCES.get(cold['source'], cold['source'])}"
    )
    kinds = (("with feedback", cold["warm"]), ("without feedback", cold["cold"]))
    rows = [
        (kind, f"{gain['mean']:+.4f}", _format_interval(gain), gain["queries"])
        for kind, gain in kinds
        if gain is not None
    ]
    print_table(title, ("answers", f"{metric} change", "interval", "held-out queries"), rows)


def _format_interval(gain: Mapping[str, Any]) -> str:
    """Return the interval of a gain; "unknown" where too few queries tell."""
    if gain["low"] is None or gain["high"] is None:
        return "unknown"
    return f"{gain['low']:+.4f} to {gain['high']:+.4f}"
