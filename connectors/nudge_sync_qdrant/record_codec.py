"""The sidecar's records as qdrant-client's points, and back; where they match, as its filters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from qdrant_client.models import FieldCondition, Filter, MatchValue, PointStruct, Range
from qdrant_client.models import Record as StoredPoint

from nudge_sync.connector import Record, Where, encode_vector
from nudge_sync_qdrant.query import JSON_NUMBER_BYTES, MAX_QUERY_BYTES, MAX_REQUEST_ROWS
from nudge_sync_qdrant_common.record_codec import (
    TERMS_FIELD,
    VECTOR_FIELD,
    decode_record,
    encode_record,
    encode_term,
    hash_key,
    to_ranges,
    to_terms,
)

VECTOR_NAME = "vector"
"""The records' one vector, where they have one."""


def to_point(record: Record) -> PointStruct:
    """Return the point that holds a record. Raises InputError for what JSON cannot hold."""
    vector = {} if record.vector is None else {VECTOR_NAME: record.vector.tolist()}
    return PointStruct(id=hash_key(record.key), vector=vector, payload=encode_record(record))


def fit_vector(point: PointStruct, size: int) -> PointStruct:
    """Return the point as a collection with vectors of `size` numbers, 0 for none, can hold it.

    A vector of another dimension goes into the payload.
    """
    vectors: Any = point.vector
    numbers = vectors.get(VECTOR_NAME)
    if numbers is None or len(numbers) == size:
        return point
    payload = {**(point.payload or {}), VECTOR_FIELD: encode_vector(np.array(numbers, np.float32))}
    return PointStruct(id=point.id, vector={}, payload=payload)


def to_record(point: StoredPoint) -> Record:
    """Return the record that a point holds. Raises DamagedRecord."""
    vectors: Any = point.vector or {}
    numbers = vectors.get(VECTOR_NAME) if isinstance(vectors, dict) else vectors
    vector = np.array(numbers, dtype=np.float32) if numbers else None
    return decode_record(point.payload or {}, vector)


def build_filter(where: Where) -> Filter | None:
    """Return a filter for exactly the records that match; None where all do."""
    conditions = [
        *(_build_term_condition(term) for term in to_terms(where)),
        *(
            FieldCondition(key=path, range=Range(gte=low, lt=high))
            for path, low, high in to_ranges(where)
        ),
    ]
    return Filter(must=[*conditions]) if conditions else None


def build_generation_filter(generation: int) -> Filter:
    """Return a filter for a record of this generation."""
    return Filter(must=[_build_term_condition(encode_term("generation", generation))])


def split_points(points: list[PointStruct], dimension: int) -> Iterator[list[PointStruct]]:
    """Yield the points in requests of bounded size: by rows, and by bytes as JSON."""
    batch: list[PointStruct] = []
    batch_bytes = 0
    for point in points:
        payload = point.payload or {}
        point_bytes = (
            JSON_NUMBER_BYTES * dimension + len(payload["document"]) + 2 * len(payload["key"])
        )
        if batch and (
            len(batch) == MAX_REQUEST_ROWS or batch_bytes + point_bytes > MAX_QUERY_BYTES
        ):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(point)
        batch_bytes += point_bytes
    if batch:
        yield batch


def _build_term_condition(term: str) -> FieldCondition:
    return FieldCondition(key=TERMS_FIELD, match=MatchValue(value=term))
