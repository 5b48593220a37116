"""Conversion of the values that an application hands over into those of a JSON row."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_plain_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return `row` with ids and numbers as JSON has them.

    NumPy scalars become Python numbers and other objects, such as UUIDs, their text. The query
    vector and the propensities become float64 arrays.
    """
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
