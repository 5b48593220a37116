"""Many point ids, as a report shows them."""

from __future__ import annotations

from typing import Any

from nudge_sync.connector.contract import PointId

_MAX_LISTED_IDS = 1000
"""Ids of one kind that a report lists; all are counted."""


def summarise_ids(**ids: list[PointId]) -> dict[str, Any]:
    """Return for each name how many ids there are, and under `<name>_ids` the first 1000."""
    summary: dict[str, Any] = {}
    for name, listed in ids.items():
        summary |= {name: len(listed), f"{name}_ids": listed[:_MAX_LISTED_IDS]}
    return summary
