"""The sidecar's records as the engine's points, and back; where they match, as its filters."""

from __future__ import annotations

from typing import Any

import numpy as np
from qdrant_edge import FieldCondition, Filter, MatchValue, Point, RangeFloat
from qdrant_edge import Record as EdgePoint

from nudge_sync.connector import Record, Where, encode_vector
from nudge_sync_qdrant_common.record_codec import (
    TERMS_FIELD,
    VECTOR_FIELD,
    decode_record,
    hash_key,
    to_ranges,
    to_terms,
)


def to_point(record: Record, payload: dict[str, Any], size: int) -> Point:
    """Return the point that holds a record in a shard with vectors of `size` numbers.

    payload: what `encode_record` gives; a vector of another dimension is added to it.
    """
    vector: Any = {}
    if record.vector is not None:
        if len(record.vector) == size:
            vector = record.vector.tolist()
        else:
            payload = {**payload, VECTOR_FIELD: encode_vector(record.vector)}
    return Point(hash_key(record.key), vector, payload)


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
