"""Which ids a Qdrant collection can hold, and in which order points come back."""

from __future__ import annotations

from uuid import UUID

import numpy as np

from nudge_sync.connector import Points
from nudge_sync_qdrant_common.ids import order_points, select_possible_ids, to_point_id


def test_possible_ids():
    name = "0f2f6fd6-0000-4000-8000-000000000001"
    asked = [1, 1, 0, -1, 2**64 - 1, 2**64, "1", name, name.upper(), UUID(name).hex, True, 1.0]
    assert select_possible_ids(asked) == [1, 0, 2**64 - 1, name]
    assert select_possible_ids([True, 1, False, 0]) == [1, 0]


def test_a_uuid_becomes_its_canonical_string():
    name = "0f2f6fd6-0000-4000-8000-000000000001"
    assert [to_point_id(each) for each in (7, name, UUID(name))] == [7, name, name]


def test_points_in_the_order_asked():
    points = Points([3, 1], np.array([[3.0], [1.0]], np.float32))
    ordered = order_points([1, 2, 3, 1, True], points)
    assert ordered.ids == [1, 3, 1]
    assert ordered.vectors.tolist() == [[1.0], [3.0], [1.0]]
    assert order_points([3, 1], points) is points
