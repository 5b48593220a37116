"""Rows of feedback, with their fields under one name each, parsed into searches and events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from nudge_sync.connector import PointId
from nudge_sync.errors import InputError
from nudge_sync.feedback.schema.exposure import Exposure, parse_exposure
from nudge_sync.feedback.schema.moments import parse_past_timestamp
from nudge_sync.feedback.schema.records import (
    MAX_DOCUMENT_BYTES,
    Event,
    Search,
    to_feedback_record,
)
from nudge_sync.feedback.schema.values import (
    BadRow,
    check_encodable,
    parse_grade,
    parse_point_id,
    parse_point_ids,
    parse_position,
    parse_propensities,
    parse_query_id,
    parse_text,
    parse_vector,
)

_BYTES_A_LETTER, _LIST_BYTES = 12, 24
"""Most bytes of JSON that a letter takes, and an entry of a list with its propensity."""
_SEARCH_TYPES = ("search", "query")
_LIST_ACTIONS = {"relevant": "relevant", "clicked": "click"}
"""Field that lists points -> the action on each of them."""


@dataclass(frozen=True, slots=True)
class ParsedRow:
    """What a row says: a search, events on its results, both, or nothing that is stored."""

    search: Search | None = None
    events: tuple[Event, ...] = ()
    is_beside_event: bool = False
    """Whether the search comes from the row of an event, where it may stand many times."""
    is_incidental: bool = False
    """Whether the row tells of the search no more than an event needs: it replaces none that was
    logged with what was shown."""
    other_shown: tuple[PointId, ...] = ()
    """A second list of the results, by other ids."""
    left_out: str = ""
    """Why a row that is well-formed is neither a search nor an event; "" if it is one."""


def parse_json_row(text: str) -> dict[str, Any]:
    """Return the JSON object in `text`. Raises BadRow if there is none."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRow("not JSON", str(error)) from None
    if not isinstance(row, dict):
        raise BadRow("not JSON", "an object is expected")
    return row


def parse_feedback_row(
    row: Mapping[str, Any], dimension: int, actions: Collection[str] = (), first_position: int = 1
) -> ParsedRow:
    """Return the search and the events in a row that `normalise_row` returned.

    A row may be both: a query vector makes it a search, a point an event. Without a type, an
    action or a grade belongs to an event, and a grade alone is a label. Ids are left as written.
    actions: those that are about a point, so that one without a point is a mistake; any other is
    left out. first_position: the least position that is taken. Raises BadRow.
    """
    kind = row.get("type")
    if kind not in (*_SEARCH_TYPES, "event", None):
        raise BadRow("wrong type", 'type must be "search" or "event"')
    has_event = kind == "event" or (kind is None and has_event_fields(row))
    has_search = kind in _SEARCH_TYPES or (
        kind is None and (has_vector(row) or not has_event or _is_list_without_point(row))
    )
    events, left_out = _parse_events(row, actions, first_position) if has_event else ((), "")
    if not has_search or (has_event and not has_vector(row)):
        if not has_event:
            get_query_id(row)
            parse_vector(None, dimension)
        return ParsedRow(events=events, left_out=left_out)
    search = _parse_search(row, dimension)
    other_shown = parse_point_ids(row.get("other_shown"), "shown")
    is_incidental = bool(has_event and not search.shown)
    return ParsedRow(search, events, has_event, is_incidental, other_shown)


def parse_storable_row(row: Mapping[str, Any], dimension: int) -> Search | Event:
    """Return the search or the event in `row`, if it is small enough to be stored.

    Parses as `parse_row` does. Raises BadRow, also for a document over `MAX_DOCUMENT_BYTES`.
    """
    item = parse_row(row, dimension)
    check_size(item)
    return item


def parse_row(row: Mapping[str, Any], dimension: int) -> Search | Event:
    """Return the search or the event in `row`, however large it is.

    Its `type`, "search" or "event", decides which; without one, a row with a query vector is a
    search and any other an event. Fields have the names of `SPELLINGS`. Ids are left as written.
    dimension: length that a query vector must have. Raises BadRow.
    """
    kind = row.get("type")
    if kind not in (*_SEARCH_TYPES, "event", None):
        raise BadRow("wrong type", 'type must be "search" or "event"')
    is_event = kind == "event" or (kind is None and not has_vector(row))
    return _parse_event(row, row.get("point"), 1) if is_event else _parse_search(row, dimension)


def has_event_fields(row: Mapping[str, Any]) -> bool:
    """Return whether a row names a point, or what somebody did."""
    get = row.get
    return (
        get("point") is not None
        or get("action") is not None
        or get("relevant") is not None
        or get("clicked") is not None
    )


def has_vector(row: Mapping[str, Any]) -> bool:
    """Return whether `row` has a query vector."""
    return row.get("query_vector") is not None


def lacks_vector(row: Mapping[str, Any]) -> bool:
    """Return whether `row` is or may hold a search, and has no query vector."""
    return row.get("type") != "event" and not has_vector(row)


def is_search_without_vector(row: Mapping[str, Any]) -> bool:
    """Return whether `row` seems to be a search alone, and has no query vector."""
    return lacks_vector(row) and not has_event_fields(row)


def get_query_text(row: Mapping[str, Any]) -> str:
    """Return the query's text, or "" if there is none. Raises BadRow for half a surrogate pair."""
    text = row.get("text")
    return check_encodable(text) if isinstance(text, str) else ""


def get_query_id(row: Mapping[str, Any]) -> str:
    """Return the id of the query of a row; where there is none, one made from its text.

    Queries of one text are one, unless the rows say what was shown, or to whom. Raises BadRow.
    """
    query_id = row.get("query_id")
    text = row.get("text")
    if query_id is not None or not isinstance(text, str) or not text.strip():
        return parse_query_id(query_id)
    shown, *people = (row.get(name) for name in ("shown", "session", "client"))
    if not any((shown, *people)):
        return check_encodable(text.strip())
    # As they will be stored, so that the same row in another format has the same id.
    occasion = [
        None if shown is None else parse_point_ids(shown, "shown"),
        *(None if name is None else parse_text(name, "session or client") for name in people),
    ]
    digest = hashlib.blake2b(json.dumps(occasion).encode(), digest_size=6)
    return check_encodable(f"{text.strip()} {digest.hexdigest()}")


def check_size(item: Search | Event) -> None:
    """Raise BadRow if the document of `item` is over `MAX_DOCUMENT_BYTES`."""
    lengths = [len(item.query_id), len(item.session_id), len(item.client_id)]
    if isinstance(item, Event):
        lengths += [len(item.action_name), len(str(item.object_id))]
    else:
        lengths += [len(item.text), *(len(str(id_)) + _LIST_BYTES for id_ in item.shown)]
    if _BYTES_A_LETTER * sum(lengths) < MAX_DOCUMENT_BYTES // 2:
        return
    # The connectors write JSON in ASCII, as this does.
    if len(json.dumps(to_feedback_record(item).document)) > MAX_DOCUMENT_BYTES:
        raise BadRow(
            "too large",
            f"over {MAX_DOCUMENT_BYTES} bytes of JSON without the vector, "
            "where a letter outside ASCII takes 6 or 12",
        )


def _is_list_without_point(row: Mapping[str, Any]) -> bool:
    return row.get("point") is None and any(row.get(name) is not None for name in _LIST_ACTIONS)


def _parse_search(row: Mapping[str, Any], dimension: int) -> Search:
    shown = parse_point_ids(row.get("shown"), "shown")
    return Search(
        query_id=get_query_id(row),
        vector=parse_vector(row.get("query_vector"), dimension),
        text=parse_text(row.get("text"), "text"),
        timestamp=parse_past_timestamp(row.get("time")),
        shown=shown,
        propensities=parse_propensities(row.get("propensities"), len(shown)),
        session_id=parse_text(row.get("session"), "session"),
        client_id=parse_text(row.get("client"), "client"),
        exposure=_parse_exposure(row, len(shown)),
    )


def _parse_exposure(row: Mapping[str, Any], shown_count: int) -> Exposure | None:
    try:
        return parse_exposure(row, shown_count)
    except InputError as error:
        raise BadRow("wrong type", str(error)) from None


def _parse_events(
    row: Mapping[str, Any], actions: Collection[str], first_position: int
) -> tuple[tuple[Event, ...], str]:
    """Return the events of a row, and why there is none although nothing is wrong with it."""
    point, action = row.get("point"), row.get("action")
    events = []
    for name, list_action in _LIST_ACTIONS.items():
        for listed in parse_point_ids(row.get(name), name):
            content = {**row, "action": list_action, "position": None, "grade": None}
            events.append(_parse_event(content, listed, first_position))
    if _is_list_without_point(row):
        return tuple(events), "" if events else "no point is named"
    if point is None and isinstance(action, str) and action and action not in actions and actions:
        get_query_id(row)
        return (), "not about a point"
    if action is None and point is not None:
        if row.get("not_clicked"):
            return (), "not clicked"
        if row.get("grade") is None and "grade" in row and "action" not in row:
            return (), "without a grade"
    return (*events, _parse_event(row, point, first_position)), ""


def _parse_event(row: Mapping[str, Any], point: Any, first_position: int) -> Event:
    action, grade = row.get("action"), row.get("grade")
    query_id = get_query_id(row)
    if action is None and grade is not None:
        action = "relevant"
    if action is None or point is None:
        missing = {"action, or a grade": action, "point": point}
        names = " and ".join(name for name, value in missing.items() if value is None)
        raise BadRow("missing field", names)
    if not isinstance(action, str) or not action:
        raise BadRow("wrong type", "action must be a string")
    return Event(
        query_id=query_id,
        action_name=check_encodable(action),
        object_id=parse_point_id(point),
        position=parse_position(row.get("position"), first_position),
        grade=parse_grade(grade),
        timestamp=parse_past_timestamp(row.get("time")),
        session_id=parse_text(row.get("session"), "session"),
        client_id=parse_text(row.get("client"), "client"),
    )
