"""Searches and events in collections of the application's own, read where they are.

Nothing is written there. Fields are renamed record by record, as the configuration maps them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import numpy as np

from nudge_sync.config import EventLog, FeedbackSettings, SearchLog
from nudge_sync.connector import DocumentReader, Record, Records, Where
from nudge_sync.errors import CollectionNotFound, ConfigError
from nudge_sync.feedback.schema.point_ids import PointIds
from nudge_sync.feedback.schema.records import DIGEST, Event, Search, event_document, search_record
from nudge_sync.feedback.schema.rows import BadRow, understood
from nudge_sync.store.target import Target

_BATCH = 1000
_NAMED = 20
_UNREADABLE = {"timestamp": None}
"""What no search and no event says: counted as unreadable by whoever reads it."""
_Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Feedback:
    """All searches and events of a collection: the sidecar's own, and the application's log."""

    queries: Records
    events: Records

    def asked(self, where: Where) -> set[str]:
        """The query ids of all searches that match, in the sidecar's records or in the log."""
        queries = self.queries
        # Each for itself: of a search that both know, only the log may say the client.
        parts = (queries.own, queries.log) if isinstance(queries, _Joined) else (queries,)
        scans = (part.scan(where, vectors=False) for part in parts)
        return {one.key for scan in scans for batch in scan for one in batch}

    def outside(self, where: Where, asked: Collection[str] = ()) -> dict[str, int]:
        """How many searches and events that match, or belong to a search in `asked`, are in the
        application's own log, which only the application removes: collection -> count.
        """
        logs = [one.log for one in (self.queries, self.events) if isinstance(one, _Joined)]
        found: dict[str, int] = {}
        for log in logs:
            records = (one.document for batch in log.scan(None, vectors=False) for one in batch)
            count = sum(_matches(one, where) or one.get("query_id") in asked for one in records)
            found[log.collection] = found.get(log.collection, 0) + count
        return {name: count for name, count in found.items() if count}


def feedback_of(target: Target, settings: FeedbackSettings) -> Feedback:
    """The feedback of a collection, wherever the settings say it is.

    Raises ConfigError where the database cannot read a log; a log that is not there, or lacks a
    field that is mapped, raises it once it is read.
    """
    if settings.searches is None and settings.events is None:
        return Feedback(target.queries, target.events)
    if not isinstance(target.database, DocumentReader):
        raise ConfigError("this connector reads no logs: take out [feedback.searches] and .events")
    ids = PointIds(target.collection)
    queries, events = target.queries, target.events
    if settings.searches is not None:
        searches = _Searches(target.database, settings.searches, ids, target.facts.dimension)
        queries = _Joined(queries, searches)
    if settings.events is not None:
        events = _Joined(events, _Events(target.database, settings.events, ids))
    return Feedback(queries, events)


class _Log:
    """One collection of an application's, as records."""

    def __init__(
        self, database: DocumentReader, fields: SearchLog | EventLog, section: str
    ) -> None:
        self._database = database
        self._section = section
        self.collection = fields.collection
        named = fields.model_dump(exclude={"collection", "vector"})
        self._fields = {name: field for name, field in named.items() if field}

    def scan(self, where: Where | None, *, vectors: bool) -> Iterator[list[Record]]:
        """Every record that matches, in batches."""
        first = True
        for batch in self._documents(vectors=vectors):
            if first:
                self._check(batch, vectors=vectors)
                first = False
            records = self._renamed(batch, vectors=vectors)
            if found := [one for one in records if _matches(one.document, where or {})]:
                yield found

    def others(self, own: Records, where: Where | None, *, vectors: bool) -> Iterator[list[Record]]:
        """Those that the sidecar's own records do not hold too."""
        for batch in self.scan(where, vectors=vectors):
            held = {one.key for one in own.get([one.key for one in batch], vectors=False)}
            if found := [one for one in batch if one.key not in held]:
                yield found

    def _documents(self, *, vectors: bool) -> Iterator[list[Record]]:
        del vectors
        return self._read(None)

    def _read(self, vector: str | None) -> Iterator[list[Record]]:
        try:
            yield from self._database.documents(self.collection, vector, _BATCH)
        except CollectionNotFound as error:
            raise ConfigError(
                f'[feedback.{self._section}] collection = "{self.collection}": {error}'
            ) from error

    def _check(self, batch: Sequence[Record], *, vectors: bool) -> None:
        """Raises ConfigError for a field that no record of the batch has."""
        del vectors
        for name, field in self._fields.items():
            if name in _OPTIONAL or any(_at(one.document, field) is not None for one in batch):
                continue
            known = sorted({key for one in batch for key in one.document})
            raise ConfigError(
                f'[feedback.{self._section}] {name} = "{field}": none of the first {len(batch)} '
                f'points of "{self.collection}" has that field; they have: '
                f"{', '.join(known[:_NAMED]) or 'none'}"
            )

    def _row(self, record: Record) -> _Row:
        named = {name: _at(record.document, field) for name, field in self._fields.items()}
        return {name: value for name, value in named.items() if value not in (None, "")}

    def _renamed(self, batch: Sequence[Record], *, vectors: bool) -> list[Record]:
        raise NotImplementedError


_OPTIONAL = frozenset({"text", "time", "session", "client", "position", "grade"})
"""Often left empty, so that a first batch without them proves nothing."""


class _Searches(_Log):
    def __init__(
        self, database: DocumentReader, fields: SearchLog, ids: PointIds, dimension: int
    ) -> None:
        super().__init__(database, fields, "searches")
        self._vector = fields.vector
        self._ids = ids
        self._dimension = dimension
        self._stand_in = np.ones(dimension, np.float32)

    def _documents(self, *, vectors: bool) -> Iterator[list[Record]]:
        return self._read(self._vector if vectors else None)

    def _check(self, batch: Sequence[Record], *, vectors: bool) -> None:
        super()._check(batch, vectors=vectors)
        sizes = {len(one.vector) for one in batch if one.vector is not None}
        if vectors and self._dimension not in sizes:
            found = ", ".join(map(str, sorted(sizes))) or "none at all"
            raise ConfigError(
                f'[feedback.searches] vector = "{self._vector}": the queries need vectors of '
                f'{self._dimension} numbers; the first points of "{self.collection}" have {found}'
            )

    def _renamed(self, batch: Sequence[Record], *, vectors: bool) -> list[Record]:
        found = [self._search(one, vectors=vectors) for one in batch]
        self._ids.learn(id_ for one in found if isinstance(one, Search) for id_ in one.shown)
        return [
            one if isinstance(one, Record) else self._record(one, vectors=vectors) for one in found
        ]

    def _search(self, record: Record, *, vectors: bool) -> Search | Record:
        vector = record.vector if vectors else self._stand_in
        row = {"query_id": record.key, **self._row(record)}
        try:
            item = understood({**row, "type": "search", "query_vector": vector}, self._dimension)
        except BadRow:
            return Record(record.key, dict(_UNREADABLE))
        return cast(Search, item)

    def _record(self, search: Search, *, vectors: bool) -> Record:
        shown = tuple(self._ids.likely(id_) for id_ in search.shown)
        record = search_record(replace(search, shown=shown))
        if vectors:
            return record
        document = {name: value for name, value in record.document.items() if name != DIGEST}
        return Record(record.key, document)


class _Events(_Log):
    def __init__(self, database: DocumentReader, fields: EventLog, ids: PointIds) -> None:
        super().__init__(database, fields, "events")
        self._ids = ids

    def _renamed(self, batch: Sequence[Record], *, vectors: bool) -> list[Record]:
        del vectors
        found = [
            (f"{record.key} {at}", item)
            for record in batch
            for at, item in enumerate(self._events(record))
        ]
        self._ids.look_up([item.object_id for _, item in found if item is not None])
        return [self._record(key, item) for key, item in found]

    def others(self, own: Records, where: Where | None, *, vectors: bool) -> Iterator[list[Record]]:
        """See `_Log`. Events have no names of their own that both might know."""
        del own
        return self.scan(where, vectors=vectors)

    def _events(self, record: Record) -> list[Event | None]:
        """What a point of the log says, an event a point acted on; None for what is unreadable."""
        row = {"type": "event", "action": "click", **self._row(record)}
        points = row.pop("point", None)
        if isinstance(points, list):
            return [_event({**row, "point": point}) for point in points]
        # A search on which nobody clicked is no damaged event.
        return [] if points is None else [_event({**row, "point": points})]

    def _record(self, key: str, event: Event | None) -> Record:
        if event is None:
            return Record(key, dict(_UNREADABLE))
        point = self._ids.found(event.object_id)
        document = event_document(event)
        document["object_id"] = self._ids.likely(event.object_id) if point is None else point
        return Record(key, document)


def _event(row: _Row) -> Event | None:
    try:
        return cast(Event, understood(row, 0))
    except BadRow:
        return None


class _Joined:
    """The sidecar's own records, then those of a log that are not among them; writes stay there."""

    def __init__(self, own: Records, log: _Log) -> None:
        self.own = own
        self.log = log

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = _BATCH
    ) -> Iterator[list[Record]]:
        """See `Records`."""
        yield from self.own.scan(where, vectors=vectors, batch_size=batch_size)
        yield from self.log.others(self.own, where, vectors=vectors)

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """See `Records`."""
        found = {one.key: one for one in self.own.get(keys, vectors=vectors)}
        missing = set(keys) - found.keys()
        for batch in self.log.scan(None, vectors=vectors) if missing else ():
            found |= {one.key: one for one in batch if one.key in missing}
            if missing <= found.keys():
                break
        return [found[key] for key in keys if key in found]

    def count(self, where: Where | None = None) -> int:
        """See `Records`."""
        others = self.log.others(self.own, where, vectors=False)
        return self.own.count(where) + sum(map(len, others))

    def put(self, records: Sequence[Record]) -> None:
        """See `Records`."""
        self.own.put(records)

    def swap(self, record: Record, expected: int | None) -> bool:
        """See `Records`."""
        return self.own.swap(record, expected)

    def delete(self, keys: Sequence[str]) -> None:
        """See `Records`."""
        self.own.delete(keys)

    def drop(self) -> None:
        """See `Records`."""
        self.own.drop()


def _at(document: Mapping[str, Any], field: str) -> Any:
    """The value of a field; dots lead into nested ones where there is none of the whole name."""
    if field in document:
        return document[field]
    value: Any = document
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _matches(document: Mapping[str, Any], where: Where) -> bool:
    for name, wanted in where.items():
        value = document.get(name)
        if isinstance(wanted, tuple):
            if not isinstance(value, int | float) or not wanted[0] <= value < wanted[1]:
                return False
        elif value != wanted:
            return False
    return True
