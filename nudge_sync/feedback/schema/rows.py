"""Rows of feedback as people write them, parsed into searches and events."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.connector import PointId
from nudge_sync.errors import InputError
from nudge_sync.feedback.schema.exposure import Exposure, parse_exposure
from nudge_sync.feedback.schema.records import (
    MAX_DOCUMENT_BYTES,
    Event,
    Search,
    to_feedback_record,
)
from nudge_sync.store.schema import LAST_MOMENT

MAX_GRADE = 1e6
"""Largest magnitude of a grade."""
MAX_POSITION = 1_000_000
MILLISECONDS_THRESHOLD = 1e11
"""A timestamp from here on is in milliseconds since 1970; in seconds this is the year 5138."""
_END_OF_TIME = LAST_MOMENT / 1000
"""Seconds since 1970."""
_MAX_CLOCK_SKEW = 86_400.0
_ID_LIMIT = 2**64

_FIELD_ALIASES: dict[str, tuple[str, ...]] = {
    "vector": ("query_vector", "vector", "embedding"),
    "text": ("text", "user_query", "query"),
    "time": ("time", "timestamp"),
    "shown": ("shown", "shown_ids", "query_response_hit_ids", "query_response_object_ids"),
    "action": ("action", "action_name"),
    "point": ("point", "point_id", "object_id", "event_attributes.object.object_id"),
    "position": ("position", "event_attributes.position.ordinal"),
    "session": ("session", "session_id", "event_attributes.session_id"),
    "client": ("client", "client_id"),
}


class BadRow(InputError):
    """A row of feedback that is refused.

    reason: one of a short list, by which refused rows are counted; detail: what is wrong with
    this row, or "".
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def parse_json_row(text: str) -> dict[str, Any]:
    """Return the JSON object in `text`. Raises BadRow if there is none."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRow("not JSON", str(error)) from None
    if not isinstance(row, dict):
        raise BadRow("not JSON", "an object is expected")
    return row


def parse_storable_row(row: Mapping[str, Any], dimension: int) -> Search | Event:
    """Return the search or the event in `row`, if it is small enough to be stored.

    Parses as `parse_row` does. Raises BadRow, also for a document over `MAX_DOCUMENT_BYTES`.
    """
    item = parse_row(row, dimension)
    _check_size(item)
    return item


def parse_row(row: Mapping[str, Any], dimension: int) -> Search | Event:
    """Return the search or the event in `row`, however large it is.

    Its `type`, "search" or "event", decides which; without one, a row with a query vector is a
    search and any other an event. Ids are left as written. dimension: length that a query vector
    must have. Raises BadRow.
    """
    kind = row.get("type")
    if kind not in ("search", "query", "event", None):
        raise BadRow("wrong type", 'type must be "search" or "event"')
    is_event = kind == "event" or (kind is None and not has_vector(row))
    return _parse_event(row) if is_event else _parse_search(row, dimension)


def is_search_without_vector(row: Mapping[str, Any]) -> bool:
    """Return whether `row` seems to be a search, and has no query vector."""
    has_action = _get_field(row, "action") is not None
    return row.get("type") != "event" and not has_vector(row) and not has_action


def has_vector(row: Mapping[str, Any]) -> bool:
    """Return whether `row` has a query vector."""
    return _get_field(row, "vector") is not None


def get_query_text(row: Mapping[str, Any]) -> str:
    """Return the query's text, or "" if there is none. Raises BadRow for half a surrogate pair."""
    text = _get_field(row, "text")
    return _check_encodable(text) if isinstance(text, str) else ""


def _parse_search(row: Mapping[str, Any], dimension: int) -> Search:
    shown = _parse_shown_ids(_get_field(row, "shown"))
    return Search(
        query_id=_parse_query_id(row),
        vector=_parse_query_vector(_get_field(row, "vector"), dimension),
        text=_get_string(row, "text"),
        timestamp=_parse_row_time(row),
        shown=shown,
        propensities=_parse_propensities(row.get("propensities"), len(shown)),
        session_id=_get_string(row, "session"),
        client_id=_get_string(row, "client"),
        exposure=_parse_exposure(row, len(shown)),
    )


def _parse_exposure(row: Mapping[str, Any], shown_count: int) -> Exposure | None:
    try:
        return parse_exposure(row, shown_count)
    except InputError as error:
        raise BadRow("wrong type", str(error)) from None


def _parse_event(row: Mapping[str, Any]) -> Event:
    action = _get_field(row, "action")
    point = _get_field(row, "point")
    position = _get_field(row, "position")
    session = _get_string(row, "session")
    attributes = row.get("event_attributes")
    if isinstance(attributes, Mapping):
        session = session or _get_string(attributes, "session")
        point = _get_nested(attributes, "object", "object_id") if point is None else point
        position = _get_nested(attributes, "position", "ordinal") if position is None else position
    if action is None or point is None:
        raise BadRow("missing field", "an event needs query_id, action and point")
    if not isinstance(action, str) or not action:
        raise BadRow("wrong type", "action must be a string")
    return Event(
        query_id=_parse_query_id(row),
        action_name=_check_encodable(action),
        object_id=_parse_point_id(point),
        position=_parse_position(position),
        grade=_parse_grade(row.get("grade")),
        timestamp=_parse_row_time(row),
        session_id=session,
        client_id=_get_string(row, "client"),
    )


def _parse_query_vector(value: Any, dimension: int) -> Float32:
    if value is None:
        raise BadRow("missing field", "a search needs query_vector")
    vector = _to_number_array(value)
    if vector.shape != (dimension,):
        actual = f"{vector.size} components" if vector.ndim == 1 else f"shape {vector.shape}"
        raise BadRow("wrong dimension", f"{actual}, the collection has {dimension} components")
    with np.errstate(over="ignore"):
        narrow = vector.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise BadRow("not finite", "the query vector holds NaN or infinity")
    norm = float(np.linalg.norm(narrow.astype(np.float64)))
    if norm < float(np.finfo(np.float32).tiny):
        raise BadRow("zero vector")
    return narrow


def _to_number_array(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, list) or any(type(part) not in (int, float) for part in value):
        raise BadRow("wrong type", "query_vector must be a list of numbers")
    try:
        return np.array(value, dtype=np.float64)
    except OverflowError:
        raise BadRow("not finite", "the query vector holds a number too large") from None


def parse_timestamp(value: Any) -> float:
    """Return `value` in seconds since 1970, or 0 for None.

    value: seconds or milliseconds since 1970, or an ISO 8601 text, in UTC if it names no zone.
    Raises BadRow for anything else and outside the years 1970 to 9999.
    """
    if value is None:
        return 0.0
    try:
        number = _parse_iso_timestamp(value) if isinstance(value, str) else float(value)
    except (ValueError, TypeError, OverflowError):
        raise BadRow("unparsable time", "seconds since 1970 or ISO 8601 is expected") from None
    if number >= MILLISECONDS_THRESHOLD and not isinstance(value, str):
        number /= 1000.0
    if isinstance(value, bool) or not 0 <= number < _END_OF_TIME:
        raise BadRow("unparsable time", "outside the years 1970 to 9999")
    return number


def _parse_row_time(row: Mapping[str, Any]) -> float:
    moment = parse_timestamp(_get_field(row, "time"))
    # Behaviour ages from the newest search on: one in the future would make all other old.
    if moment > time.time() + _MAX_CLOCK_SKEW:
        raise BadRow("unparsable time", "more than a day ahead of this machine's clock")
    return moment


def _parse_iso_timestamp(text: str) -> float:
    moment = datetime.fromisoformat(text.strip())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _parse_query_id(row: Mapping[str, Any]) -> str:
    value = row.get("query_id")
    if value is None or value == "":
        raise BadRow("missing field", "query_id")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BadRow("wrong type", "query_id must be a string")
    return _check_encodable(str(value))


def _parse_point_id(value: Any) -> PointId:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise BadRow("wrong type", "a point id must be an integer or a string")
    if isinstance(value, int) and abs(value) >= _ID_LIMIT:
        raise BadRow("unknown point", "the id has more than 64 bits")
    return _check_encodable(value) if isinstance(value, str) else value


def _parse_shown_ids(value: Any) -> tuple[PointId, ...]:
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise BadRow("wrong type", "shown must be a list of point ids")
    return tuple(_parse_point_id(raw_id) for raw_id in value)


def _parse_propensities(value: Any, shown_count: int) -> tuple[float, ...]:
    if value is None:
        return ()
    propensities = _to_number_array(value)
    if propensities.shape != (shown_count,) or not ((propensities > 0) & (propensities <= 1)).all():
        raise BadRow("out of range", "propensities: one in (0, 1] for each shown id")
    return tuple(propensities.tolist())


def _parse_position(value: Any) -> int | None:
    if value is None:
        return None
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole:
        raise BadRow("wrong type", "position must be a whole number")
    if not 1 <= value <= MAX_POSITION:
        raise BadRow("out of range", "position: 1 is the top")
    return int(value)


def _parse_grade(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadRow("wrong type", "grade must be a number")
    if not -MAX_GRADE <= value <= MAX_GRADE:
        raise BadRow("out of range", f"grade must be finite and at most {MAX_GRADE:.0f}")
    return float(value)


def _get_string(row: Mapping[str, Any], field: str) -> str:
    value = _get_field(row, field)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BadRow("wrong type", f"{field} must be a string")
    return _check_encodable(str(value))


def _check_encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRow("wrong type", "text with half a surrogate pair") from None
    return text


def _get_field(row: Mapping[str, Any], field: str) -> Any:
    return next((row[name] for name in _FIELD_ALIASES[field] if row.get(name) is not None), None)


def _get_nested(attributes: Mapping[str, Any], outer: str, inner: str) -> Any:
    value = attributes.get(outer)
    return value.get(inner) if isinstance(value, Mapping) else None


def _check_size(item: Search | Event) -> None:
    # The connectors write JSON in ASCII, as this does.
    if len(json.dumps(to_feedback_record(item).document)) > MAX_DOCUMENT_BYTES:
        raise BadRow(
            "too large",
            f"over {MAX_DOCUMENT_BYTES} bytes of JSON without the vector, "
            "where a letter outside ASCII takes 6 or 12",
        )
