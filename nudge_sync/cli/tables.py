"""What a cycle did, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nudge_sync.cli.output import print_pairs, print_table

_SCORE_FIELDS = ("before", "after")


def print_summaries(result: Any) -> None:
    """One summary, or one after the other."""
    for summary in result if isinstance(result, list) else [result]:
        _print_summary(summary)


def _print_summary(summary: Mapping[str, Any]) -> None:
    rest = {key: value for key, value in summary.items() if key not in _SCORE_FIELDS}
    print_pairs(str(summary.get("collection", "")), rest)
    before, after = (summary.get(name) for name in _SCORE_FIELDS)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        print_scores(before, after)


def print_scores(before: Mapping[str, float], after: Mapping[str, float]) -> None:
    """Metrics before and after, side by side."""
    rows = (
        (name, value, after.get(name), _format_difference(after.get(name), value))
        for name, value in before.items()
    )
    print_table("", ("held-out queries", "before", "after", ""), rows)


def _format_difference(after: float | None, before: float | None) -> str:
    return "" if after is None or before is None else f"{after - before:+.4f}"
