"""What every connector has to decide about the sidecar's records before its database sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.connector.contract import Record, Scalar, Where
from nudge_sync.errors import InputError


def check_records(records: Sequence[Record], dimension: int) -> list[Record]:
    """Return the records to store: of those with the same key, the last.

    Raises InputError for an empty key, and for a vector that is not `dimension` finite numbers.
    """
    for record in records:
        if not record.key:
            raise InputError("a record's key is empty")
        if record.vector is not None and not _is_valid_vector(record.vector, dimension):
            raise InputError(
                f"record {record.key[:80]!r}: its vector should be {dimension} finite numbers"
            )
    return list({record.key: record for record in records}.values())


def has_generation(stored: Sequence[Record], expected: int | None) -> bool:
    """Return whether a swap may go on, given what `Records.get` found under its key.

    expected: the generation that the stored record should have; None if there should be none.
    """
    if not stored or expected is None:
        return not stored and expected is None
    return bool(stored[0].document.get("generation") == expected)


def is_match(document: Mapping[str, Any], where: Where) -> bool:
    """Return whether a document is among those that `where` asks for."""
    return all(_is_value_match(document.get(name), wanted) for name, wanted in where.items())


def _is_value_match(value: Any, wanted: Scalar | tuple[float, float]) -> bool:
    if isinstance(wanted, tuple):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and wanted[0] <= value < wanted[1]
    # Python calls True and 1 equal; JSON does not.
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _is_valid_vector(vector: Float32, dimension: int) -> bool:
    return vector.shape == (dimension,) and dimension > 0 and bool(np.isfinite(vector).all())
