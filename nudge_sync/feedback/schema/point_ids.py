"""Point ids as people write them, resolved to the ids that the collection holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from uuid import UUID

from nudge_sync.connector import Collection, PointId
from nudge_sync.feedback.schema.records import Event, Search

_BATCH_SIZE = 1000
_SAMPLE_SIZE = 100
_UUID_LENGTHS = (32, 36, 38, 45)
"""Without hyphens, with them, in braces, and after "urn:uuid:"."""
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}")
_WHOLE_FLOAT = re.compile(r"(-?[0-9]{1,20})[.,]0+")


def sort_ids(ids: Iterable[PointId]) -> list[PointId]:
    """Return each id once, in the one fixed order: by its text, an integer before a string."""
    return sorted(set(ids), key=lambda point: (str(point), isinstance(point, str)))


class PointIdResolver:
    """Finds the point that a written id stands for; each id is looked up once.

    "7", "7.0" and " 7" may stand for the integer 7, and 7 for the string "7"; a UUID may be written
    in any case, with or without hyphens. First comes an id that the collection has as written.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self.has_integer_ids = collection.describe().integer_ids
        """Whether every id that is a number stands for that integer, looked up or not."""
        self._resolved_ids: dict[PointId, PointId | None] = {}
        self._number_type: type[int | str] | None = int if self.has_integer_ids else None

    def look_up(self, raw_ids: Iterable[PointId]) -> None:
        """Read those of `raw_ids` that were not looked up yet from the collection, in batches."""
        new_ids = sort_ids(raw_id for raw_id in raw_ids if raw_id not in self._resolved_ids)
        for start in range(0, len(new_ids), _BATCH_SIZE):
            self._look_up_batch(new_ids[start : start + _BATCH_SIZE])

    def infer_number_type(self, shown_ids: Iterable[PointId]) -> None:
        """Find out from some shown ids whether the collection keeps numbers as integers or text."""
        if self._number_type is None:
            self.look_up(
                [id_ for id_ in shown_ids if _parse_integer(id_) is not None][:_SAMPLE_SIZE]
            )

    def look_up_items(self, items: Sequence[Search | Event]) -> None:
        """Look up the points of all events, and how the collection keeps the ids of shown ones."""
        self.look_up(item.object_id for item in items if isinstance(item, Event))
        self.infer_number_type(
            id_ for item in items if isinstance(item, Search) for id_ in item.shown
        )

    def get(self, raw_id: PointId) -> PointId | None:
        """Return the id of the point that was looked up, or None if there is no such point."""
        return self._resolved_ids.get(raw_id)

    def guess(self, raw_id: PointId) -> PointId:
        """Return the id as the collection would hold it, whether or not there is such a point."""
        point_id = self._resolved_ids.get(raw_id)
        if point_id is not None:
            return point_id
        number = _parse_integer(raw_id)
        if number is None or self._number_type is None:
            return raw_id
        if self._number_type is int:
            return number
        text = str(raw_id).strip()
        return str(number) if _WHOLE_FLOAT.fullmatch(text) else text

    def guess_shown(self, search: Search) -> Search:
        """Return `search` with the ids shown as the collection would hold them."""
        return replace(search, shown=tuple(map(self.guess, search.shown)))

    def _look_up_batch(self, raw_ids: Sequence[PointId]) -> None:
        candidates = {
            raw_id: _list_candidates(raw_id, integer_ids=self.has_integer_ids) for raw_id in raw_ids
        }
        all_candidates = sort_ids(chain.from_iterable(candidates.values()))
        present = set(self._collection.read(all_candidates).ids)
        for raw_id, id_candidates in candidates.items():
            point_id = next(
                (candidate for candidate in id_candidates if candidate in present), None
            )
            self._resolved_ids[raw_id] = point_id
            if point_id is not None and _parse_integer(raw_id) is not None:
                self._number_type = int if isinstance(point_id, int) else str


def _list_candidates(raw_id: PointId, *, integer_ids: bool) -> list[PointId]:
    """Return the ids that `raw_id` may stand for, likeliest first."""
    number = _parse_integer(raw_id)
    if integer_ids:
        return [raw_id if number is None else number]
    if not isinstance(raw_id, str):
        return [raw_id, str(raw_id)]
    forms = [
        raw_id,
        _parse_uuid(raw_id),
        number,
        raw_id.strip(),
        None if number is None else str(number),
    ]
    return list(dict.fromkeys(form for form in forms if form is not None))


def _parse_integer(raw_id: PointId) -> int | None:
    if isinstance(raw_id, int):
        return raw_id
    text = raw_id.strip(" ")
    if _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    # As pandas writes integers in a column with holes, and with a decimal comma.
    match = _WHOLE_FLOAT.fullmatch(text)
    return int(match[1]) if match else None


def _parse_uuid(raw_id: PointId) -> str | None:
    if not isinstance(raw_id, str) or len(raw_id.strip()) not in _UUID_LENGTHS:
        return None
    try:
        return str(UUID(raw_id.strip()))
    except ValueError:
        return None


def resolve_point_ids(
    items: Sequence[Search | Event], collection: Collection
) -> list[Search | Event]:
    """Return the items with their point ids as the collection holds them.

    An id that the collection lacks is guessed, since its point may be inserted later.
    """
    if not items:
        return []
    resolver = PointIdResolver(collection)
    resolver.look_up_items(items)
    return [
        resolver.guess_shown(item)
        if isinstance(item, Search)
        else replace(item, object_id=resolver.guess(item.object_id))
        for item in items
    ]
