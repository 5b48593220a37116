"""Ids of points in a table: parsed, and encoded as the collection would hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nudge_sync.base.arrays import Int32
from nudge_sync.connector import PointId
from nudge_sync.feedback.log.builder import Encoders
from nudge_sync.feedback.log.columnar.distinct import DistinctValues, parse_each, split_distinct
from nudge_sync.feedback.schema.point_ids import PointIdResolver
from nudge_sync.feedback.schema.values import parse_point_id


def read_point_ids(column: Any) -> DistinctValues:
    """Return the distinct ids of an Arrow column of numbers or texts."""
    codes, raw_ids = split_distinct(column)
    if str(column.type) not in {"int64", "string"}:
        return DistinctValues(codes, *parse_each(raw_ids, parse_point_id))
    # Of these a database hands over nothing else that is no id.
    is_valid = np.ones(len(raw_ids), np.bool_)
    is_valid[[raw_ids.index(hole) for hole in (None, "") if hole in raw_ids]] = False
    return DistinctValues(codes, raw_ids, is_valid)


def look_up_points(ids: Sequence[PointId], resolver: PointIdResolver) -> None:
    """Read which of the ids of events the collection has, if that tells how it holds them."""
    if not resolver.has_integer_ids:
        resolver.look_up(ids)


def encode_points(ids: list[PointId], encoders: Encoders, resolver: PointIdResolver) -> Int32:
    """Return the numbers of the points that some ids stand for, (n,)."""
    if resolver.has_integer_ids and set(map(type, ids)) <= {int}:
        return encoders.points.encode(ids)
    return encoders.points.encode(list(map(resolver.guess, ids)))
