"""How many records of a shard match, asked for in the way that looks at the fewest of them.

The engine looks at every record that a filter finds, and at some 10 million a second at best. Where
nearly all match, as where it is asked whether a log is still what it was, the few that do not are
counted instead, by the indexes.
"""

from __future__ import annotations

from collections.abc import Mapping

from qdrant_edge import CountRequest, EdgeShard, FieldCondition, Filter, RangeFloat

from nudge_sync.connector import Where
from nudge_sync_qdrant_common.record_codec import to_ranges, to_terms
from nudge_sync_qdrant_edge.record_codec import build_filter


def count_records(shard: EdgeShard, where: Where) -> int:
    """Return how many records match, exactly, where none are written in the meantime."""
    matching = build_filter(where)
    info = shard.info()
    # Of a point that two segments hold, as a killed process may leave it, one copy counts.
    total = info.points_count if info.segments_count == 1 else None
    if matching is None:
        return _count(shard, None) if total is None else total
    counts = {path: index.points for path, index in info.payload_schema.items()}
    if total is not None and _has_all_fields(where, counts, total):
        others = _build_complement(where)
        if _estimate(shard, others) < _estimate(shard, matching):
            return total - _count(shard, others)
    return _count(shard, matching)


def _has_all_fields(where: Where, counts: Mapping[str, int], total: int) -> bool:
    """Return whether `where` consists of ranges alone, and each record has a number in each.

    counts: of the records in each index, by its path.  total: of all records.
    """
    return not to_terms(where) and all(counts.get(path) == total for path, _, _ in to_ranges(where))


def _build_complement(where: Where) -> Filter:
    """Return a filter for numbers that lie outside any of the ranges."""
    outside = []
    for path, low, high in to_ranges(where):
        if low is not None:
            outside.append(FieldCondition(path, range=RangeFloat(lt=low)))
        if high is not None:
            outside.append(FieldCondition(path, range=RangeFloat(gte=high)))
    return Filter(should=[*outside])


def _estimate(shard: EdgeShard, matching: Filter) -> int:
    return shard.count(CountRequest(exact=False, filter=matching))


def _count(shard: EdgeShard, matching: Filter | None) -> int:
    return shard.count(CountRequest(exact=True, filter=matching))
