"""Which ids a Qdrant collection can hold: unsigned 64-bit integers and UUIDs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from nudge_sync.connector import PointId, Points

FIRST_UUID = "00000000-0000-0000-0000-000000000000"
"""Scrolling from here meets only UUIDs: Qdrant sorts all integers before them."""
_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""The only spelling of a UUID that is an id here; Qdrant would also take others for the same."""


def to_point_id(point_id: Any) -> PointId:
    """Return the id as the contract has it: an integer, or a UUID as its canonical string."""
    return point_id if isinstance(point_id, int) else str(point_id)


def select_possible_ids(ids: Sequence[PointId]) -> list[PointId]:
    """Return those of `ids` that a collection can hold, each once, in order."""
    return list(dict.fromkeys(i for i in ids if _is_possible_id(i)))


def order_points(ids: Sequence[PointId], points: Points) -> Points:
    """Return `points` in the order of `ids`: repeated where an id is, absent ids left out."""
    if points.ids == list(ids):
        return points
    row_by_id = {point_id: row for row, point_id in enumerate(points.ids)}
    # type(): True and 1 are equal, but only one of them is an id.
    present_ids = [i for i in ids if type(i) is not bool and i in row_by_id]
    return Points(present_ids, points.vectors[[row_by_id[i] for i in present_ids]])


def _is_possible_id(point_id: PointId) -> bool:
    # type() and not isinstance(): True is no id, though Python calls it an int.
    if type(point_id) is int:
        return 0 <= point_id < 2**64
    return type(point_id) is str and _CANONICAL_UUID.fullmatch(point_id) is not None
