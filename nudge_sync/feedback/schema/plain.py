"""What an application hands over, made into what a row may hold."""

from __future__ import annotations

from typing import Any

import numpy as np


def copied(vector: Any) -> Any:
    """A vector that the caller may not change any more; a function that gives one stays."""
    if callable(vector):
        return vector
    return vector.copy() if isinstance(vector, np.ndarray) else list(vector)


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """The row with what clients use as ids and numbers made into what JSON has."""
    found = {key: _simple(value) for key, value in row.items() if key != "query_vector"}
    if "shown" in row:
        found["shown"] = [_simple(id_) for id_ in row["shown"]]
    for name in row.keys() & {"query_vector", "propensities"}:
        found[name] = np.asarray(row[name], np.float64)
    return found


def _simple(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str | int | float | list | None):
        return value
    return str(value)
