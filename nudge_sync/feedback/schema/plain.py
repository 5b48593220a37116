"""What an application hands over, made into what a row may hold."""

from __future__ import annotations

from typing import Any

import numpy as np


def copy_vector(vector: Any) -> Any:
    """A vector that the caller may not change any more; a function that gives one stays."""
    if callable(vector):
        return vector
    return vector.copy() if isinstance(vector, np.ndarray) else list(vector)


def to_plain_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row with what clients use as ids and numbers made into what JSON has."""
    result = {key: _to_plain_value(value) for key, value in row.items() if key != "query_vector"}
    if "shown" in row:
        result["shown"] = [_to_plain_value(id_) for id_ in row["shown"]]
    for name in row.keys() & {"query_vector", "propensities"}:
        result[name] = np.asarray(row[name], np.float64)
    return result


def _to_plain_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str | int | float | list | None):
        return value
    return str(value)
