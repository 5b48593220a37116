"""Positions of events: whether a file counts them from 0 or from 1, and which contradict a list."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nudge_sync.connector import PointId, Record
from nudge_sync.feedback.ingest.sources import SourceRow
from nudge_sync.feedback.schema.records import Event, to_event_record

_MAX_WAITING = 10_000
"""Events that wait at most for what shows where a file counts from."""
_MIN_VOTES = 50


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event, its row and its record, and what its search showed, best first."""

    row: SourceRow
    event: Event
    record: Record
    shown: Sequence[PointId] = ()


@dataclass(slots=True)
class PositionCounter:
    """Brings the positions of each file to those that count from 1.

    A file counts from 0 if its positions fit the lists of their searches so, or, where there are
    no lists, if one of them is 0. Until that is known, events with a position wait.
    """

    files: Collection[str]
    """The sources that may count from 0; all others count from 1."""
    zero_based: list[str] = field(default_factory=list)
    """The files that were found to count from 0."""
    _first_position: dict[str, int] = field(default_factory=dict)
    _waiting: dict[str, list[LoggedEvent]] = field(default_factory=dict)

    def learn_lists(self, shown_lists: Mapping[str, Sequence[PointId]]) -> None:
        """Take what searches showed that came after their events; shown_lists: by query id."""
        for source, waiting in self._waiting.items():
            self._waiting[source] = [
                logged
                if logged.shown or logged.event.query_id not in shown_lists
                else replace(logged, shown=shown_lists[logged.event.query_id])
                for logged in waiting
            ]

    def add(self, events: Sequence[LoggedEvent]) -> list[LoggedEvent]:
        """Return the events, of these and of those that waited, whose position is known now.

        A position of 0 is left where a file counts from 1.
        """
        ready, doubtful_files = [], set()
        for logged in events:
            source = logged.row.source
            if logged.event.position is None or source not in self.files:
                ready.append(logged)
            elif source in self._first_position:
                ready.append(self._shift(logged))
            else:
                self._waiting.setdefault(source, []).append(logged)
                doubtful_files.add(source)
        for source in sorted(doubtful_files):
            waiting = self._waiting[source]
            if len(waiting) >= _MAX_WAITING or sum(_count_votes(waiting)) >= _MIN_VOTES:
                ready += self._decide(source)
        return ready

    def finish(self) -> list[LoggedEvent]:
        """Return the events that still wait."""
        return [logged for source in sorted(self._waiting) for logged in self._decide(source)]

    def _decide(self, source: str) -> list[LoggedEvent]:
        waiting = self._waiting.pop(source)
        from_zero, from_one = _count_votes(waiting)
        if from_zero or from_one:
            is_zero_based = from_zero > from_one
        else:
            is_zero_based = any(logged.event.position == 0 for logged in waiting)
        self._first_position[source] = 0 if is_zero_based else 1
        if is_zero_based:
            self.zero_based.append(source)
        return list(map(self._shift, waiting))

    def _shift(self, logged: LoggedEvent) -> LoggedEvent:
        position = logged.event.position
        if position is None or self._first_position[logged.row.source] == 1:
            return logged
        event = replace(logged.event, position=position + 1)
        return LoggedEvent(logged.row, event, to_event_record(event), logged.shown)


def contradicts_list(logged: LoggedEvent) -> bool:
    """Return whether an event's position is another than that of its point in the list shown."""
    event, shown = logged.event, logged.shown
    if not event.position or event.object_id not in shown:
        return False
    index = event.position - 1
    return index >= len(shown) or shown[index] != event.object_id


def _count_votes(events: Sequence[LoggedEvent]) -> tuple[int, int]:
    """Return how many positions fit the lists if they count from 0, and how many if from 1."""
    from_zero = from_one = 0
    for logged in events:
        position, shown = logged.event.position, logged.shown
        if position is not None and logged.event.object_id in shown:
            index = shown.index(logged.event.object_id)
            from_zero += position == index
            from_one += position == index + 1
    return from_zero, from_one
