"""What a cycle did, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import typer

from nudge_sync.cli.output import format_difference, print_pairs, print_result, print_table

_SCORE_FIELDS = ("before", "after")


def print_and_exit(result: Any, exit_code: int, as_json: bool) -> NoReturn:
    """Print one summary, or a list of them, and end the program with `exit_code`."""
    print_result(result, as_json, _print_summaries)
    raise typer.Exit(exit_code)


def _print_summaries(result: Any) -> None:
    for summary in result if isinstance(result, list) else [result]:
        _print_summary(summary)


def _print_summary(summary: Mapping[str, Any]) -> None:
    rest = {key: value for key, value in summary.items() if key not in _SCORE_FIELDS}
    print_pairs(str(summary.get("collection", "")), rest)
    before, after = (summary.get(name) for name in _SCORE_FIELDS)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        _print_scores(before, after)


def _print_scores(before: Mapping[str, float], after: Mapping[str, float]) -> None:
    rows = (
        (name, value, after.get(name), format_difference(value, after.get(name)))
        for name, value in before.items()
    )
    print_table("", ("held-out queries", "before", "after", ""), rows)
