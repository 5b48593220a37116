"""Which stored records are searches and events: an application may have written others there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from itertools import chain
from math import isnan
from typing import Any

from nudge_sync.connector import PointId, Record
from nudge_sync.feedback.schema.records import VECTOR_DIGEST_FIELD
from nudge_sync.store.schema import LAST_MOMENT

_MAX_MAGNITUDE = 1_000_000
_TIMESTAMP_LIMIT = LAST_MOMENT / 1000
"""Seconds since 1970."""
_ID_TYPES = frozenset({int, str})
_NUMBER_TYPES = frozenset({int, float})
_NONE_TYPE = frozenset({type(None)})
_STRING_TYPE = frozenset({str})


@dataclass(frozen=True, slots=True)
class EventBatch:
    """The fields of a batch of events, each a list with one value an event."""

    query_id: list[str]
    action_name: list[str]
    object_id: list[PointId]
    position: list[int | None]
    grade: list[float | None]
    timestamp: list[float]
    session_id: list[str]
    client_id: list[str]

    def select(self, mask: list[bool]) -> EventBatch:
        """Return the events of a mask."""
        columns = (getattr(self, column.name) for column in fields(self))
        return EventBatch(
            *(
                [value for value, is_kept in zip(column, mask, strict=True) if is_kept]
                for column in columns
            )
        )


@dataclass(frozen=True, slots=True)
class SearchBatch:
    """A batch of searches, and the fields of their documents, each a list of one value a search."""

    records: list[Record]
    timestamp: list[float]
    session_id: list[str]
    client_id: list[str]
    shown: list[list[PointId] | None]
    propensities: list[list[float] | None]
    digest: list[str | None]


class RecordValidator:
    """A filter for records that are searches or events; counts the others.

    A batch is checked column by column, which is fast; only where that fails, record by record.
    """

    def __init__(self) -> None:
        self.unreadable_records = 0

    def validate_events(self, records: list[Record]) -> EventBatch:
        """Return the fields of the records that are events."""
        documents = [record.document for record in records]
        if _have_types(documents, {dict}):
            columns = _to_event_batch(documents)
            if _are_events(columns):
                return columns
        return _to_event_batch(
            [event_record.document for event_record in self._select_valid(records, _is_event)]
        )

    def validate_searches(self, records: list[Record]) -> SearchBatch:
        """Return the records that are searches, and their fields."""
        if _have_types((record.document for record in records), {dict}):
            columns = _to_search_batch(records)
            if _are_searches(columns):
                return columns
        return _to_search_batch(self._select_valid(records, _is_search))

    def _select_valid(self, records: list[Record], is_valid: Callable[[Any], bool]) -> list[Record]:
        valid = [record for record in records if is_valid(record.document)]
        self.unreadable_records += len(records) - len(valid)
        return valid


def _to_event_batch(documents: list[dict[str, Any]]) -> EventBatch:
    return EventBatch(
        query_id=[document.get("query_id") for document in documents],  # type: ignore[misc]
        action_name=[document.get("action_name") for document in documents],  # type: ignore[misc]
        object_id=[document.get("object_id") for document in documents],  # type: ignore[misc]
        position=[document.get("position") for document in documents],
        grade=[document.get("grade") for document in documents],
        timestamp=[document.get("timestamp", 0.0) for document in documents],
        session_id=[document.get("session_id", "") for document in documents],
        client_id=[document.get("client_id", "") for document in documents],
    )


def _are_events(columns: EventBatch) -> bool:
    return (
        _have_types(columns.query_id, _STRING_TYPE)
        and _have_types(columns.action_name, _STRING_TYPE)
        and _have_types(columns.object_id, _ID_TYPES)
        and _have_types(columns.session_id, _STRING_TYPE)
        and _have_types(columns.client_id, _STRING_TYPE)
        and _are_timestamps(columns.timestamp)
        and _have_types(columns.position, _NONE_TYPE | {int})
        and all(_is_position(value) for value in set(columns.position))
        and _have_types(columns.grade, _NONE_TYPE | _NUMBER_TYPES)
        and all(_is_grade(value, -_MAX_MAGNITUDE) for value in set(columns.grade))
    )


def _to_search_batch(records: list[Record]) -> SearchBatch:
    documents = [record.document for record in records]
    return SearchBatch(
        records,
        timestamp=[document.get("timestamp", 0.0) for document in documents],
        session_id=[document.get("session_id", "") for document in documents],
        client_id=[document.get("client_id", "") for document in documents],
        shown=[document.get("shown") for document in documents],
        propensities=[document.get("propensities") for document in documents],
        digest=[document.get(VECTOR_DIGEST_FIELD) for document in documents],
    )


def _are_searches(columns: SearchBatch) -> bool:
    return (
        _have_types(columns.session_id, _STRING_TYPE)
        and _have_types(columns.client_id, _STRING_TYPE)
        and _are_timestamps(columns.timestamp)
        and _have_types(columns.shown, _NONE_TYPE | {list})
        and _have_types(columns.digest, _NONE_TYPE | _STRING_TYPE)
        and _have_types(chain.from_iterable(filter(None, columns.shown)), _ID_TYPES)
        and (
            not any(columns.propensities)
            or all(map(_are_propensities, columns.propensities, columns.shown))
        )
    )


def _have_types(values: Iterable[Any], types: AbstractSet[type]) -> bool:
    return set(map(type, values)) <= types


def _are_timestamps(values: list[Any]) -> bool:
    if not values:
        return True
    if not (
        _have_types(values, _NUMBER_TYPES) and min(values) >= 0 and max(values) < _TIMESTAMP_LIMIT
    ):
        return False
    # min and max may pass over NaN, which is neither above nor below anything; the sum does not.
    return not isnan(sum(values))


# type() rather than isinstance(), so that True and False are no numbers.
def _is_event(document: Any) -> bool:
    return (
        _has_valid_origin(document)
        and type(document.get("query_id")) is str
        and type(document.get("action_name")) is str
        and type(document.get("object_id")) in _ID_TYPES
        and _is_position(document.get("position"))
        and _is_grade(document.get("grade"), -_MAX_MAGNITUDE)
    )


def _is_search(document: Any) -> bool:
    if not _has_valid_origin(document):
        return False
    shown = document.get("shown")
    if shown is not None and not (
        type(shown) is list and all(type(point_id) in _ID_TYPES for point_id in shown)
    ):
        return False
    return _are_propensities(document.get("propensities"), shown) and (
        type(document.get(VECTOR_DIGEST_FIELD)) in _NONE_TYPE | _STRING_TYPE
    )


def _are_propensities(values: Any, shown: list[PointId] | None) -> bool:
    """Return whether the values are none at all, or one number in (0, 1] for each shown point."""
    if values is None or values == []:
        return True
    return (
        type(values) is list
        and len(values) == len(shown or ())
        and _have_types(values, _NUMBER_TYPES)
        and all(0 < value <= 1 for value in values)
    )


def _has_valid_origin(document: Any) -> bool:
    return (
        type(document) is dict
        and type(document.get("session_id", "")) is str
        and type(document.get("client_id", "")) is str
        and type(moment := document.get("timestamp", 0.0)) in _NUMBER_TYPES
        and 0 <= moment < _TIMESTAMP_LIMIT
    )


def _is_position(position: Any) -> bool:
    return position is None or (type(position) is int and 0 <= position <= _MAX_MAGNITUDE)


def _is_grade(grade: Any, low: float) -> bool:
    return grade is None or (type(grade) in _NUMBER_TYPES and low <= grade <= _MAX_MAGNITUDE)
