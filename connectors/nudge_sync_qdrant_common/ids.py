"""Which ids a Qdrant collection can hold: unsigned 64-bit integers and UUIDs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nudge_sync.connector import PointId

FIRST_UUID = "00000000-0000-0000-0000-000000000000"
"""Scrolling from here meets only UUIDs: Qdrant sorts all integers before them."""
_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def select_possible_ids(ids: Sequence[PointId]) -> list[PointId]:
    """Those of `ids` that a collection can hold, each once, in order."""
    return list(dict.fromkeys(i for i in ids if _is_possible_id(i)))


def _is_possible_id(point_id: PointId) -> bool:
    # type() and not isinstance(): True is no id, though Python calls it an int.
    if type(point_id) is int:
        return 0 <= point_id < 2**64
    return type(point_id) is str and _CANONICAL_UUID.fullmatch(point_id) is not None
