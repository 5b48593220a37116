"""Points as a client of Qdrant returns them, one Python object a number, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any

import numpy as np

from nudge_sync.connector import PointId, Points
from nudge_sync_qdrant_common.ids import to_point_id


def collect_points(stored: Sequence[Any], vector: str, dimension: int) -> Points:
    """Return the points that have the vector, in order; each has an `id` and a `vector`.

    vector: its name; "" is the default one.
    """
    ids: list[PointId] = []
    pack = Struct(f"@{dimension}f").pack_into
    row_bytes = 4 * dimension
    # Four times faster than an array from the lists, and only one row's floats live at a time.
    buffer = bytearray(row_bytes * len(stored))
    for point in stored:
        row = point.vector
        if isinstance(row, dict):
            row = row.get(vector)
        if row:
            pack(buffer, row_bytes * len(ids), *row)
            ids.append(to_point_id(point.id))
    matrix = np.frombuffer(buffer, dtype=np.float32).reshape(-1, dimension)
    return Points(ids, matrix[: len(ids)])
