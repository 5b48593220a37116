"""What a cycle did, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nudge_sync.cli.output import pairs, table

_SCORES = ("before", "after")


def draw_change(result: Any) -> None:
    """One summary, or one after the other."""
    for summary in result if isinstance(result, list) else [result]:
        _draw_one(summary)


def _draw_one(summary: Mapping[str, Any]) -> None:
    rest = {key: value for key, value in summary.items() if key not in _SCORES}
    pairs(str(summary.get("collection", "")), rest)
    before, after = (summary.get(name) for name in _SCORES)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        draw_scores(before, after)


def draw_scores(before: Mapping[str, float], after: Mapping[str, float]) -> None:
    """Metrics before and after, side by side."""
    rows = (
        (name, value, after.get(name), _signed(after.get(name), value))
        for name, value in before.items()
    )
    table("", ("held-out queries", "before", "after", ""), rows)


def _signed(after: float | None, before: float | None) -> str:
    return "" if after is None or before is None else f"{after - before:+.4f}"
