"""When feedback came: searches and events day by day, and the newest events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from nudge_sync.base.arrays import Float64
from nudge_sync.connector import PointId
from nudge_sync.feedback.log.columns import Actions, Log

_SECONDS_PER_DAY = 86_400
MAX_DAYS = 365
"""Days that a timeline goes back from the newest."""


@dataclass(frozen=True, slots=True)
class DayVolume:
    """What came on one day, UTC."""

    day: str
    """Such as 2026-05-01."""
    searches: int
    events: int
    """Events with a weight, labels included."""


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """One event as the log keeps it."""

    time: float
    """Seconds since 1970; 0 if undated."""
    query_id: str
    """"" where the search is not stored."""
    point: PointId
    weight: float
    rank: int
    """The rank that the event itself names; 0 where it names none."""
    is_label: bool


def count_days(log: Log) -> list[DayVolume]:
    """Return the volume of each day from the first to the newest, `MAX_DAYS` at most.

    Undated searches and events are left out.
    """
    searches = _to_days(log.searches.time)
    events = _to_days(np.concatenate([log.labels.time, log.behaviour.time]))
    if not len(searches) and not len(events):
        return []
    newest = max([*searches.tolist(), *events.tolist()])
    oldest = max(newest - MAX_DAYS + 1, min([*searches.tolist(), *events.tolist()]))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    counts = [
        np.bincount(days[days >= oldest] - oldest, minlength=newest - oldest + 1).tolist()
        for days in (searches, events)
    ]
    return [
        DayVolume((epoch + timedelta(days=oldest + row)).date().isoformat(), *pair)
        for row, pair in enumerate(zip(*counts, strict=True))
    ]


def list_newest_events(log: Log, count: int) -> list[TimedEvent]:
    """Return the newest events that have a weight, newest first, `count` at most."""
    events = [
        event
        for actions, is_label in ((log.labels, True), (log.behaviour, False))
        for event in _list_newest(log, actions, count, is_label=is_label)
    ]
    return sorted(events, key=lambda event: -event.time)[:count]


def _list_newest(log: Log, actions: Actions, count: int, *, is_label: bool) -> list[TimedEvent]:
    rows = np.argsort(-actions.time, kind="stable")[:count].tolist()
    return [
        TimedEvent(
            float(actions.time[row]),
            log.searches.query_ids[int(actions.search[row])] if actions.search[row] >= 0 else "",
            log.point_ids[int(actions.point[row])],
            float(actions.weight[row]),
            int(actions.rank[row]),
            is_label,
        )
        for row in rows
    ]


def _to_days(times: Float64) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    dated = times[times > 0]
    return (dated // _SECONDS_PER_DAY).astype(np.int64)
