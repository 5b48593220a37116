"""The sidecar's records as the engine's points, and back; where they match, as its filters."""

from __future__ import annotations

from typing import Any

import numpy as np
from qdrant_edge import FieldCondition, Filter, MatchValue, Point, RangeFloat
from qdrant_edge import Record as EdgePoint

from nudge_sync.connector import Record, Where
from nudge_sync_qdrant_common.record_codec import (
    TERMS_FIELD,
    decode_record,
    encode_record,
    hash_key,
    to_ranges,
    to_terms,
)


def to_point(record: Record) -> Point:
    """Return the point that holds a record. Raises InputError for what JSON cannot hold."""
    vector: Any = {} if record.vector is None else record.vector.tolist()
    return Point(hash_key(record.key), vector, encode_record(record))


def to_record(point: EdgePoint) -> Record:
    """Return the record that a point holds. Raises DamagedRecord."""
    vector = np.array(point.vector, dtype=np.float32) if point.vector else None
    return decode_record(point.payload or {}, vector)


def build_filter(where: Where) -> Filter | None:
    """Return a filter for exactly the records that match; None where all do."""
    conditions = [
        *(FieldCondition(TERMS_FIELD, MatchValue(term)) for term in to_terms(where)),
        *(
            FieldCondition(path, range=RangeFloat(gte=low, lt=high))
            for path, low, high in to_ranges(where)
        ),
    ]
    return Filter(must=[*conditions]) if conditions else None
