"""Points of an application's own collection as records: payload and vector as they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from nudge_sync.connector import Float32, Record


def to_log_document(point: Any, vector: str | None) -> Record:
    """Return a point's id as text, its payload and its `vector`, as `DocumentReader` has them.

    vector: "" means the default one, or the only one; None that none is wanted.
    """
    values = None if vector is None else _select_vector(point.vector, vector)
    return Record(str(point.id), dict(point.payload or {}), values)


def select_vectors(vector: str | None) -> bool | list[str]:
    """Return which vectors a scroll has to bring along for `to_log_document`."""
    return [vector] if vector else vector is not None


def _select_vector(stored: Any, vector: str) -> Float32 | None:
    if isinstance(stored, dict):
        only_vector = next(iter(stored.values())) if len(stored) == 1 and not vector else None
        stored = stored.get(vector, only_vector)
    is_dense = isinstance(stored, list) and bool(stored) and not isinstance(stored[0], list)
    return np.array(stored, dtype=np.float32) if is_dense else None
