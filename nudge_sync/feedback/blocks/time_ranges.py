"""The times by which records are asked for: undated ones, early ones, and all from some time on."""

from __future__ import annotations

from nudge_sync.connector import Records, Where
from nudge_sync.feedback.schema.moments import END_OF_TIME

EARLIEST_DATED = 1.0
"""Seconds since 1970; a time below it means undated."""
_COUNTING_ATTEMPTS = 3


def has_timeless_records(records: Records) -> bool:
    """Return whether there are records that no range of times finds.

    What is stored between two counts makes the second one larger, and must not look like that; what
    is erased between them does, but not each time.
    """
    return all(
        records.count() > records.count({"timestamp": (0.0, END_OF_TIME)})
        for _ in range(_COUNTING_ATTEMPTS)
    )


def list_early_ranges(start: float, low: int) -> list[Where]:
    """Return the filters for undated records and those from `start` to `low`; for 0, from any time.

    start, low: seconds since 1970.
    """
    if not start:
        return [{"timestamp": (0.0, float(low))}]
    return [
        {"timestamp": (0.0, EARLIEST_DATED)},
        {"timestamp": (max(start, EARLIEST_DATED), float(low))},
    ]


def list_time_ranges(start: float) -> list[Where]:
    """Return the filters for undated records and those from `start` on; for 0, of all records."""
    if not start:
        return [{}]
    return [
        {"timestamp": (0.0, EARLIEST_DATED)},
        {"timestamp": (max(start, EARLIEST_DATED), END_OF_TIME)},
    ]
