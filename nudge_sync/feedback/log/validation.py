"""Stored feedback that can be used: an application may have written records of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from itertools import chain
from math import isnan
from typing import Any

from nudge_sync.connector import PointId, Record
from nudge_sync.feedback.schema.records import DIGEST

_LARGEST = 1_000_000
YEAR_10000 = 253_402_300_800.0
"""Seconds since 1970."""
_IDS = frozenset({int, str})
_NUMBERS = frozenset({int, float})
_NONE = frozenset({type(None)})
_TEXT = frozenset({str})


@dataclass(frozen=True, slots=True)
class EventColumns:
    """The fields of a batch of events, each a list with one value an event."""

    query_id: list[str]
    action_name: list[str]
    object_id: list[PointId]
    position: list[int | None]
    grade: list[float | None]
    timestamp: list[float]
    session_id: list[str]
    client_id: list[str]

    def only(self, keep: list[bool]) -> EventColumns:
        """The events that `keep` marks."""
        every = (getattr(self, one.name) for one in fields(self))
        return EventColumns(
            *([value for value, is_kept in zip(one, keep, strict=True) if is_kept] for one in every)
        )


@dataclass(frozen=True, slots=True)
class SearchColumns:
    """A batch of searches, and the fields of their documents, each a list with one value each."""

    records: list[Record]
    timestamp: list[float]
    session_id: list[str]
    client_id: list[str]
    shown: list[list[PointId] | None]
    digest: list[str | None]


class Sieve:
    """Lets records through that say what a search or an event says, and counts the others.

    A batch is looked at column by column; only if something in it is odd, record by record.
    """

    def __init__(self) -> None:
        self.unreadable = 0

    def events(self, records: list[Record]) -> EventColumns:
        """What those of them say that are events."""
        documents = [record.document for record in records]
        if _are(documents, {dict}):
            columns = _event_columns(documents)
            if _are_events(columns):
                return columns
        return _event_columns([one.document for one in self._kept(records, _is_event)])

    def searches(self, records: list[Record]) -> SearchColumns:
        """Those of them that are searches, and what they say."""
        if _are((record.document for record in records), {dict}):
            columns = _search_columns(records)
            if _are_searches(columns):
                return columns
        return _search_columns(self._kept(records, _is_search))

    def _kept(self, records: list[Record], fits: Callable[[Any], bool]) -> list[Record]:
        kept = [record for record in records if fits(record.document)]
        self.unreadable += len(records) - len(kept)
        return kept


def _event_columns(documents: list[dict[str, Any]]) -> EventColumns:
    return EventColumns(
        query_id=[one.get("query_id") for one in documents],  # type: ignore[misc]
        action_name=[one.get("action_name") for one in documents],  # type: ignore[misc]
        object_id=[one.get("object_id") for one in documents],  # type: ignore[misc]
        position=[one.get("position") for one in documents],
        grade=[one.get("grade") for one in documents],
        timestamp=[one.get("timestamp", 0.0) for one in documents],
        session_id=[one.get("session_id", "") for one in documents],
        client_id=[one.get("client_id", "") for one in documents],
    )


def _are_events(columns: EventColumns) -> bool:
    return (
        _are(columns.query_id, _TEXT)
        and _are(columns.action_name, _TEXT)
        and _are(columns.object_id, _IDS)
        and _are(columns.session_id, _TEXT)
        and _are(columns.client_id, _TEXT)
        and _are_moments(columns.timestamp)
        and _are(columns.position, _NONE | {int})
        and all(_is_place(one) for one in set(columns.position))
        and _are(columns.grade, _NONE | _NUMBERS)
        and all(_is_within(one, -_LARGEST) for one in set(columns.grade))
    )


def _search_columns(records: list[Record]) -> SearchColumns:
    documents = [record.document for record in records]
    return SearchColumns(
        records,
        timestamp=[one.get("timestamp", 0.0) for one in documents],
        session_id=[one.get("session_id", "") for one in documents],
        client_id=[one.get("client_id", "") for one in documents],
        shown=[one.get("shown") for one in documents],
        digest=[one.get(DIGEST) for one in documents],
    )


def _are_searches(columns: SearchColumns) -> bool:
    return (
        _are(columns.session_id, _TEXT)
        and _are(columns.client_id, _TEXT)
        and _are_moments(columns.timestamp)
        and _are(columns.shown, _NONE | {list})
        and _are(columns.digest, _NONE | _TEXT)
        and _are(chain.from_iterable(filter(None, columns.shown)), _IDS)
    )


def _are(values: Iterable[Any], types: AbstractSet[type]) -> bool:
    return set(map(type, values)) <= types


def _are_moments(values: list[Any]) -> bool:
    if not values:
        return True
    if not (_are(values, _NUMBERS) and min(values) >= 0 and max(values) < YEAR_10000):
        return False
    # Not a number is neither above nor below anything, wherever min and max meet it.
    return not isnan(sum(values))


# type() and not isinstance(): True is no number here, though Python calls it an int.
def _is_event(document: Any) -> bool:
    return (
        _is_somebodys(document)
        and type(document.get("query_id")) is str
        and type(document.get("action_name")) is str
        and type(document.get("object_id")) in _IDS
        and _is_place(document.get("position"))
        and _is_within(document.get("grade"), -_LARGEST)
    )


def _is_search(document: Any) -> bool:
    if not _is_somebodys(document):
        return False
    shown = document.get("shown")
    if shown is not None and not (type(shown) is list and all(type(one) in _IDS for one in shown)):
        return False
    return type(document.get(DIGEST)) in _NONE | _TEXT


def _is_somebodys(document: Any) -> bool:
    return (
        type(document) is dict
        and type(document.get("session_id", "")) is str
        and type(document.get("client_id", "")) is str
        and type(moment := document.get("timestamp", 0.0)) in _NUMBERS
        and 0 <= moment < YEAR_10000
    )


def _is_place(position: Any) -> bool:
    return position is None or (type(position) is int and 0 <= position <= _LARGEST)


def _is_within(grade: Any, low: float) -> bool:
    return grade is None or (type(grade) in _NUMBERS and low <= grade <= _LARGEST)
