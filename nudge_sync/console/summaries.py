"""Summaries of any depth as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nudge_sync.base.text.percent import format_number


def flatten_summary(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested objects, under names such as "gate.interval".

    A list stands as its entries, joined; what is empty is left out.
    """
    leaves: dict[str, Any] = {}
    for name, inner in value.items():
        path = f"{prefix}{name}"
        if isinstance(inner, Mapping):
            leaves |= flatten_summary(inner, f"{path}.")
        elif isinstance(inner, Sequence) and not isinstance(inner, str):
            if inner:
                leaves[path] = ", ".join(map(_format_leaf, inner))
        elif inner is not None and inner != "":
            leaves[path] = inner if name.endswith("_at") else _format_leaf(inner)
    return leaves


def _format_leaf(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_number(value, 4) if isinstance(value, float) else str(value)
