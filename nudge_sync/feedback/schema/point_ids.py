"""Point ids as people write them, made into the ids that the collection holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from uuid import UUID

from nudge_sync.connector import Collection, PointId
from nudge_sync.feedback.schema.records import Event, Search

_BATCH = 1000
_SAMPLE = 100
_UUID_LENGTHS = (32, 36)


class PointIds:
    """Which written ids stand for which points of a collection, looked up once each."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._integers = collection.describe().integer_ids
        self._found: dict[PointId, PointId | None] = {}
        self._numbers_are: type[int | str] | None = int if self._integers else None

    def look_up(self, written: Iterable[PointId]) -> None:
        """Ask the collection, by id and in batches, for those not asked for yet."""
        new = sorted({id_ for id_ in written if id_ not in self._found}, key=_order)
        for start in range(0, len(new), _BATCH):
            self._look_up_batch(new[start : start + _BATCH])

    def learn(self, shown: Iterable[PointId]) -> None:
        """Find out, from ids that were shown, whether numbers are kept as integers or as text."""
        if self._numbers_are is None:
            self.look_up([id_ for id_ in shown if _number(id_) is not None][:_SAMPLE])

    def found(self, written: PointId) -> PointId | None:
        """The point that was looked up, or None where there is no such point."""
        return self._found.get(written)

    def likely(self, written: PointId) -> PointId:
        """The point's id without asking whether it exists: for what was merely shown."""
        known = self._found.get(written)
        if known is not None:
            return known
        number = _number(written)
        if number is None or self._numbers_are is None:
            return written
        return number if self._numbers_are is int else str(written)

    def _look_up_batch(self, written: Sequence[PointId]) -> None:
        options = {id_: _candidates(id_, integers=self._integers) for id_ in written}
        wanted = sorted({one for every in options.values() for one in every}, key=_order)
        present = set(self._collection.read(wanted).ids)
        for id_, every in options.items():
            hit = next((one for one in every if one in present), None)
            self._found[id_] = hit
            if hit is not None and _number(id_) is not None:
                self._numbers_are = int if isinstance(hit, int) else str


def _candidates(written: PointId, *, integers: bool) -> list[PointId]:
    """What `written` may stand for, likeliest first."""
    number = _number(written)
    if integers:
        return [written if number is None else number]
    canonical = _uuid(written)
    others: list[PointId] = [one for one in (canonical, number) if one is not None]
    options: list[PointId] = [written, *others, str(written)]
    return list(dict.fromkeys(options))


def _number(written: PointId) -> int | None:
    if isinstance(written, int):
        return written
    digits = written.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= len(str(2**64))):
        return None
    return int(written)


def _uuid(written: PointId) -> str | None:
    if not isinstance(written, str) or len(written) not in _UUID_LENGTHS:
        return None
    try:
        return str(UUID(written))
    except ValueError:
        return None


def _order(id_: PointId) -> tuple[bool, str]:
    return isinstance(id_, str), str(id_)


def matched(items: Sequence[Search | Event], collection: Collection) -> list[Search | Event]:
    """The items with ids as the collection holds them; one that it lacks may come to it later."""
    if not items:
        return []
    ids = PointIds(collection)
    ids.look_up(item.object_id for item in items if isinstance(item, Event))
    ids.learn(id_ for item in items if isinstance(item, Search) for id_ in item.shown)
    return [
        replace(item, shown=tuple(map(ids.likely, item.shown)))
        if isinstance(item, Search)
        else replace(item, object_id=ids.likely(item.object_id))
        for item in items
    ]
