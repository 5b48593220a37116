"""The SQL of conditions by which DuckDB leaves out rows; it may keep some too many, never too few.

Whoever reads the rows looks at each again, so that these need not be exact.
"""

from __future__ import annotations

from collections.abc import Collection

from nudge_sync.feedback.log.columnar.column_types import Column, extract_json_text, quote_text
from nudge_sync.feedback.schema.moments import (
    CALENDAR_NUMBERS,
    MICROSECONDS_THRESHOLD,
    MILLISECONDS_THRESHOLD,
    NANOSECONDS_THRESHOLD,
)

_MARGIN = 1.0
"""Seconds that more is read, so that rounding leaves out no row."""
_UNITS = (
    (1, 0.0, MILLISECONDS_THRESHOLD),
    (10**3, MILLISECONDS_THRESHOLD, MICROSECONDS_THRESHOLD),
    (10**6, MICROSECONDS_THRESHOLD, NANOSECONDS_THRESHOLD),
)
"""How many of a unit a second has, and between which numbers a time counts in it."""
_NANOSECONDS = 10**9


def build_time_condition(column: Column, start: float) -> str:
    """Return a condition for the rows whose time is `start` or later, none at all, or not readable;
    "" where the type of the column allows no such condition.

    start: seconds since 1970.
    """
    sql, start = column.sql, start - _MARGIN
    if column.kind == "moment":
        return (
            f"({sql} IS NULL OR {sql} >= make_timestamp({int(start * 1e6)}) "
            f"OR {sql} < make_timestamp(1000000))"
        )
    if column.kind not in {"integer", "float"}:
        return ""
    ranges = [
        f"({sql} >= {int(max(low, start * factor))} AND {sql} < {int(high)})"
        for factor, low, high in _UNITS
    ]
    ranges += [
        f"({sql} >= {int(low)} AND {sql} < {int(high)})" for low, high, _ in CALENDAR_NUMBERS
    ]
    newest = f"{sql} >= {int(max(NANOSECONDS_THRESHOLD, start * _NANOSECONDS))}"
    return f"({sql} IS NULL OR {sql} < 1 OR {' OR '.join(ranges)} OR {newest})"


def build_name_condition(column: Column, names: Collection[str]) -> str:
    """Return a condition for the rows that hold one of some names; "" where there is none."""
    if column.kind == "json":
        name = extract_json_text(column.sql)
    elif column.kind in {"integer", "wide", "text"}:
        name = f"CAST({column.sql} AS VARCHAR)"
    else:
        return ""
    literals = ", ".join(map(quote_text, sorted(names)))
    return f"{name} IN ({literals})" if names else "FALSE"
