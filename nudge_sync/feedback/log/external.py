"""The application's own log: searches and events read from its collections, never written.

Fields are renamed record by record, as the configuration maps them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import numpy as np

from nudge_sync.connector import DocumentReader, Record, Records, Where
from nudge_sync.errors import CollectionNotFound, ConfigError
from nudge_sync.feedback.schema.point_ids import PointIdResolver
from nudge_sync.feedback.schema.records import (
    VECTOR_DIGEST_FIELD,
    Event,
    Search,
    to_event_document,
    to_search_record,
)
from nudge_sync.feedback.schema.rows import parse_row
from nudge_sync.feedback.schema.values import BadRow
from nudge_sync.settings.feedback import EventLog, FeedbackSettings, SearchLog
from nudge_sync.store.target import Target

_BATCH_SIZE = 1000
_MAX_LISTED_FIELDS = 20
_UNREADABLE_DOCUMENT = {"timestamp": None}
"""A document that is no search and no event, so that whoever reads it counts it as unreadable."""
_MappedRow: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FeedbackRecords:
    """All searches and events of a collection: the sidecar's own and the application's log."""

    queries: Records
    events: Records

    def find_query_ids(self, where: Where) -> set[str]:
        """Return the query ids of all searches that match, in the sidecar's records or the log."""
        queries = self.queries
        # Each is scanned on its own: of a search in both, only the log may name the client.
        parts = (queries.own, queries.log) if isinstance(queries, _JoinedRecords) else (queries,)
        scans = (part.scan(where, vectors=False) for part in parts)
        return {record.key for scan in scans for batch in scan for record in batch}

    def count_external(self, where: Where, query_ids: Collection[str] = ()) -> dict[str, int]:
        """Return how many records of the application's log match or belong to one of `query_ids`.

        Keyed by collection, without zeros. Only the application can erase them.
        """
        logs = [
            item.log for item in (self.queries, self.events) if isinstance(item, _JoinedRecords)
        ]
        counts: dict[str, int] = {}
        for log in logs:
            documents = (item.document for batch in log.scan(None, vectors=False) for item in batch)
            count = sum(
                _is_match(item, where) or item.get("query_id") in query_ids for item in documents
            )
            counts[log.collection] = counts.get(log.collection, 0) + count
        return {name: count for name, count in counts.items() if count}


def open_feedback(target: Target, settings: FeedbackSettings) -> FeedbackRecords:
    """Return the feedback of a collection, from where the settings say it is.

    Raises ConfigError where the connector cannot read an application's log. A log that does not
    exist, or lacks a mapped field, raises ConfigError when it is read.
    """
    if settings.searches is None and settings.events is None:
        return FeedbackRecords(target.queries, target.events)
    if not isinstance(target.database, DocumentReader):
        raise ConfigError("this connector reads no logs: take out [feedback.searches] and .events")
    resolver = PointIdResolver(target.collection)
    queries, events = target.queries, target.events
    if settings.searches is not None:
        external_searches = _ExternalSearches(
            target.database, settings.searches, resolver, target.facts.dimension
        )
        queries = _JoinedRecords(queries, external_searches)
    if settings.events is not None:
        events = _JoinedRecords(events, _ExternalEvents(target.database, settings.events, resolver))
    return FeedbackRecords(queries, events)


class _ExternalLog:
    """One collection of the application's log, read as records of searches or events."""

    def __init__(
        self, database: DocumentReader, fields: SearchLog | EventLog, section: str
    ) -> None:
        self._database = database
        self._section = section
        self.collection = fields.collection
        field_names = fields.model_dump(exclude={"collection", "vector"})
        self._fields = {name: field for name, field in field_names.items() if field}

    def scan(self, where: Where | None, *, vectors: bool) -> Iterator[list[Record]]:
        """Yield every record that matches, in batches."""
        first = True
        for batch in self._read_documents(vectors=vectors):
            if first:
                self._check_fields(batch, vectors=vectors)
                first = False
            records = self._to_records(batch, vectors=vectors)
            if matches := [record for record in records if _is_match(record.document, where or {})]:
                yield matches

    def scan_missing(
        self, own: Records, where: Where | None, *, vectors: bool
    ) -> Iterator[list[Record]]:
        """Yield the matching records whose keys the sidecar's own records do not have."""
        for batch in self.scan(where, vectors=vectors):
            own_keys = {
                record.key for record in own.get([record.key for record in batch], vectors=False)
            }
            if missing := [record for record in batch if record.key not in own_keys]:
                yield missing

    def _read_documents(self, *, vectors: bool) -> Iterator[list[Record]]:
        del vectors
        return self._scan_collection(None)

    def _scan_collection(self, vector: str | None) -> Iterator[list[Record]]:
        try:
            yield from self._database.documents(self.collection, vector, _BATCH_SIZE)
        except CollectionNotFound as error:
            raise ConfigError(
                f'[feedback.{self._section}] collection = "{self.collection}": {error}'
            ) from error

    def _check_fields(self, batch: Sequence[Record], *, vectors: bool) -> None:
        """Raise ConfigError for a field that no record of the batch has."""
        del vectors
        for name, field in self._fields.items():
            if name in _OPTIONAL_FIELDS or any(
                _get_nested(record.document, field) is not None for record in batch
            ):
                continue
            known = sorted({key for record in batch for key in record.document})
            raise ConfigError(
                f'[feedback.{self._section}] {name} = "{field}": none of the first {len(batch)} '
                f'points of "{self.collection}" has that field; they have: '
                f"{', '.join(known[:_MAX_LISTED_FIELDS]) or 'none'}"
            )

    def _map_fields(self, record: Record) -> _MappedRow:
        values = {name: _get_nested(record.document, field) for name, field in self._fields.items()}
        return {name: value for name, value in values.items() if value not in (None, "")}

    def _to_records(self, batch: Sequence[Record], *, vectors: bool) -> list[Record]:
        raise NotImplementedError


_OPTIONAL_FIELDS = frozenset({"text", "time", "session", "client", "position", "grade"})
"""Fields that are often empty, so that their absence from the first batch proves nothing."""


class _ExternalSearches(_ExternalLog):
    def __init__(
        self, database: DocumentReader, fields: SearchLog, resolver: PointIdResolver, dimension: int
    ) -> None:
        super().__init__(database, fields, "searches")
        self._vector = fields.vector
        self._resolver = resolver
        self._dimension = dimension
        self._placeholder_vector = np.ones(dimension, np.float32)

    def _read_documents(self, *, vectors: bool) -> Iterator[list[Record]]:
        return self._scan_collection(self._vector if vectors else None)

    def _check_fields(self, batch: Sequence[Record], *, vectors: bool) -> None:
        super()._check_fields(batch, vectors=vectors)
        sizes = {len(record.vector) for record in batch if record.vector is not None}
        if vectors and self._dimension not in sizes:
            size_list = ", ".join(map(str, sorted(sizes))) or "none at all"
            raise ConfigError(
                f'[feedback.searches] vector = "{self._vector}": the queries need vectors of '
                f'{self._dimension} numbers; the first points of "{self.collection}" have '
                f"{size_list}"
            )

    def _to_records(self, batch: Sequence[Record], *, vectors: bool) -> list[Record]:
        searches = [self._parse_search(search, vectors=vectors) for search in batch]
        self._resolver.infer_number_type(
            id_ for search in searches if isinstance(search, Search) for id_ in search.shown
        )
        return [
            search if isinstance(search, Record) else self._to_record(search, vectors=vectors)
            for search in searches
        ]

    def _parse_search(self, record: Record, *, vectors: bool) -> Search | Record:
        vector = record.vector if vectors else self._placeholder_vector
        row = {"query_id": record.key, **self._map_fields(record)}
        try:
            item = parse_row({**row, "type": "search", "query_vector": vector}, self._dimension)
        except BadRow:
            return Record(record.key, dict(_UNREADABLE_DOCUMENT))
        return cast(Search, item)

    def _to_record(self, search: Search, *, vectors: bool) -> Record:
        shown = tuple(self._resolver.guess(id_) for id_ in search.shown)
        record = to_search_record(replace(search, shown=shown))
        if vectors:
            return record
        document = {
            name: value for name, value in record.document.items() if name != VECTOR_DIGEST_FIELD
        }
        return Record(record.key, document)


class _ExternalEvents(_ExternalLog):
    def __init__(
        self, database: DocumentReader, fields: EventLog, resolver: PointIdResolver
    ) -> None:
        super().__init__(database, fields, "events")
        self._resolver = resolver

    def _to_records(self, batch: Sequence[Record], *, vectors: bool) -> list[Record]:
        del vectors
        keyed_events = [
            (f"{record.key} {index}", event)
            for record in batch
            for index, event in enumerate(self._parse_events(record))
        ]
        self._resolver.look_up([event.object_id for _, event in keyed_events if event is not None])
        return [self._to_record(key, event) for key, event in keyed_events]

    def scan_missing(
        self, own: Records, where: Where | None, *, vectors: bool
    ) -> Iterator[list[Record]]:
        """Yield all matching records, since events have no ids that both logs could share."""
        del own
        return self.scan(where, vectors=vectors)

    def _parse_events(self, record: Record) -> list[Event | None]:
        """Return an event for each point that the record names, None for an unreadable one."""
        row = {"type": "event", "action": "click", **self._map_fields(record)}
        points = row.pop("point", None)
        if isinstance(points, list):
            return [_parse_event({**row, "point": point}) for point in points]
        # A record without a point is a search on which nobody clicked, not an unreadable event.
        return [] if points is None else [_parse_event({**row, "point": points})]

    def _to_record(self, key: str, event: Event | None) -> Record:
        if event is None:
            return Record(key, dict(_UNREADABLE_DOCUMENT))
        point = self._resolver.get(event.object_id)
        document = to_event_document(event)
        document["object_id"] = self._resolver.guess(event.object_id) if point is None else point
        return Record(key, document)


def _parse_event(row: _MappedRow) -> Event | None:
    try:
        return cast(Event, parse_row(row, 0))
    except BadRow:
        return None


class _JoinedRecords:
    """The sidecar's own records and, after them, the log's; writes go to the sidecar's alone."""

    def __init__(self, own: Records, log: _ExternalLog) -> None:
        self.own = own
        self.log = log

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = _BATCH_SIZE
    ) -> Iterator[list[Record]]:
        """Yield the matching records of both in batches, each key once."""
        yield from self.own.scan(where, vectors=vectors, batch_size=batch_size)
        yield from self.log.scan_missing(self.own, where, vectors=vectors)

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """Return the records with these keys, in their order, without those that neither holds."""
        record_by_key = {record.key: record for record in self.own.get(keys, vectors=vectors)}
        missing = set(keys) - record_by_key.keys()
        for batch in self.log.scan(None, vectors=vectors) if missing else ():
            record_by_key |= {record.key: record for record in batch if record.key in missing}
            if missing <= record_by_key.keys():
                break
        return [record_by_key[key] for key in keys if key in record_by_key]

    def count(self, where: Where | None = None) -> int:
        """Return how many records of both match."""
        others = self.log.scan_missing(self.own, where, vectors=False)
        return self.own.count(where) + sum(map(len, others))

    def put(self, records: Sequence[Record]) -> None:
        """Write to the sidecar's own records."""
        self.own.put(records)

    def swap(self, record: Record, expected: int | None) -> bool:
        """Compare and set one of the sidecar's own records."""
        return self.own.swap(record, expected)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete from the sidecar's own records."""
        self.own.delete(keys)

    def drop(self) -> None:
        """Drop the sidecar's own records."""
        self.own.drop()


def _get_nested(document: Mapping[str, Any], field: str) -> Any:
    """Return the value of a field, or of a nested one whose path has dots in `field`; else None."""
    if field in document:
        return document[field]
    value: Any = document
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _is_match(document: Mapping[str, Any], where: Where) -> bool:
    for name, wanted in where.items():
        value = document.get(name)
        if isinstance(wanted, tuple):
            if not isinstance(value, int | float) or not wanted[0] <= value < wanted[1]:
                return False
        elif value != wanted:
            return False
    return True
