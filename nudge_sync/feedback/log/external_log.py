"""One part of the application's own log, read as records of searches or events.

Fields are renamed record by record, as the configuration maps them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, cast

import numpy as np

from nudge_sync.connector import DocumentReader, Record, Records, Where, is_match
from nudge_sync.errors import CollectionNotFound, ConfigError
from nudge_sync.feedback.log.columnar.events import TableEvents
from nudge_sync.feedback.log.columnar.searches import TableSearches
from nudge_sync.feedback.log.columnar.table import LogTable
from nudge_sync.feedback.log.columnar.vectors import refuse_vector_sizes
from nudge_sync.feedback.schema.fields import drop_hole
from nudge_sync.feedback.schema.moments import parse_past_timestamp
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
from nudge_sync.settings.feedback import EventLog, SearchLog
from nudge_sync.settings.log_place import LogPlace

_BATCH_SIZE = 1000
_MAX_LISTED_FIELDS = 20
_ROW_TIME = "row_time"
"""Field of an unreadable record's document: the time that its row names, 0 for none."""
_MappedRow: TypeAlias = dict[str, Any]


class ExternalLog:
    """One collection or table of the application's log, read as records of searches or events."""

    def __init__(
        self, reader: DocumentReader | LogTable, fields: SearchLog | EventLog, section: str
    ) -> None:
        self._reader = reader
        self._section = section
        self.place = fields.place
        field_names = fields.model_dump(exclude={*LogPlace.model_fields, "vector"})
        self._fields = {name: field for name, field in field_names.items() if field}

    def scan(self, where: Where | None, *, vectors: bool) -> Iterator[list[Record]]:
        """Yield every record that matches, in batches; an unreadable one by its time alone."""
        where = where or {}
        documents = self._read_documents(where, vectors=vectors)
        for batch in self._read_records(documents, vectors=vectors):
            if matches := [record for record in batch if is_document_match(record.document, where)]:
                yield matches

    def find_queries(self, query_ids: Collection[str], *, vectors: bool) -> Iterator[list[Record]]:
        """Yield records in batches, among them all that have or name one of some query ids."""
        return self.find_related(None, query_ids, vectors=vectors)

    def find_related(
        self, where: Where | None, query_ids: Collection[str], *, vectors: bool
    ) -> Iterator[list[Record]]:
        """Yield records in batches, among them all that match or have or name one of some query
        ids; None matches nothing.
        """
        documents = (
            self._reader.find_documents(where, query_ids, vectors=vectors)
            if isinstance(self._reader, LogTable)
            else self._read_documents({}, vectors=vectors)
        )
        return self._read_records(documents, vectors=vectors)

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

    def count_missing(self, own: Records) -> int | None:
        """Return how many records the log adds to the sidecar's own; None: only a scan can tell."""
        raise NotImplementedError

    def _read_records(
        self, documents: Iterator[list[Record]], *, vectors: bool
    ) -> Iterator[list[Record]]:
        first = True
        for batch in documents:
            if first:
                self._check_fields(batch, vectors=vectors)
                first = False
            yield self._to_records(batch, vectors=vectors)

    def _read_documents(self, where: Where, *, vectors: bool) -> Iterator[list[Record]]:
        """Yield documents in batches, among them all of records that match."""
        if isinstance(self._reader, LogTable):
            return self._reader.find_documents(where, vectors=vectors)
        return self._scan_collection(self._reader, self._get_vector(vectors=vectors))

    def _get_vector(self, *, vectors: bool) -> str | None:
        del vectors
        return None

    def _scan_collection(
        self, database: DocumentReader, vector: str | None
    ) -> Iterator[list[Record]]:
        try:
            yield from database.documents(self.place, vector, _BATCH_SIZE)
        except CollectionNotFound as error:
            raise ConfigError(
                f'[feedback.{self._section}] collection = "{self.place}": {error}'
            ) from error

    def _check_fields(self, batch: Sequence[Record], *, vectors: bool) -> None:
        """Raise ConfigError for a field that no record of the batch has."""
        del vectors
        if isinstance(self._reader, LogTable):
            return
        for name, field in self._fields.items():
            if name in _OPTIONAL_FIELDS or any(
                _get_nested(record.document, field) is not None for record in batch
            ):
                continue
            known = sorted({key for record in batch for key in record.document})
            raise ConfigError(
                f'[feedback.{self._section}] {name} = "{field}": none of the first {len(batch)} '
                f'points of "{self.place}" has that field; they have: '
                f"{', '.join(known[:_MAX_LISTED_FIELDS]) or 'none'}"
            )

    def _map_fields(self, record: Record) -> _MappedRow:
        values = {
            name: drop_hole(name, _get_nested(record.document, field))
            for name, field in self._fields.items()
        }
        return {name: value for name, value in values.items() if value is not None}

    def _to_records(self, batch: Sequence[Record], *, vectors: bool) -> list[Record]:
        raise NotImplementedError


_OPTIONAL_FIELDS = frozenset({"text", "time", "session", "client", "position", "grade"})
"""Fields that are often empty, so that their absence from the first batch proves nothing."""


class ExternalSearches(ExternalLog):
    """Searches of the application's log."""

    def __init__(
        self,
        reader: DocumentReader | LogTable,
        fields: SearchLog,
        resolver: PointIdResolver,
        dimension: int,
    ) -> None:
        super().__init__(reader, fields, "searches")
        self.table = (
            TableSearches(reader, resolver, dimension) if isinstance(reader, LogTable) else None
        )
        self._vector = fields.vector
        self._resolver = resolver
        self._dimension = dimension
        self._placeholder_vector = np.ones(dimension, np.float32)

    def count_missing(self, own: Records) -> int | None:
        """Return how many searches the table has that the sidecar has not; None for no table."""
        return None if self.table is None else self.table.count_missing(own)

    def _get_vector(self, *, vectors: bool) -> str | None:
        return self._vector if vectors else None

    def _check_fields(self, batch: Sequence[Record], *, vectors: bool) -> None:
        super()._check_fields(batch, vectors=vectors)
        # Of a table only some rows may have been asked for.
        if vectors and self.table is None:
            sizes = {len(record.vector) for record in batch if record.vector is not None}
            refuse_vector_sizes(sizes, self._dimension, self._vector, self.place)

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
        row = self._map_fields(record)
        if self.table is None:
            row = {"query_id": record.key, **row}
        elif "query_id" not in row:
            # Neither the number of a row nor its text says which search it is.
            return _make_unreadable(record.key, row)
        try:
            item = parse_row({**row, "type": "search", "query_vector": vector}, self._dimension)
        except BadRow:
            return _make_unreadable(record.key, row)
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


class ExternalEvents(ExternalLog):
    """Events of the application's log, one for each point that a document names."""

    def __init__(
        self, reader: DocumentReader | LogTable, fields: EventLog, resolver: PointIdResolver
    ) -> None:
        super().__init__(reader, fields, "events")
        self.table = TableEvents(reader, resolver) if isinstance(reader, LogTable) else None
        self._resolver = resolver

    def _to_records(self, batch: Sequence[Record], *, vectors: bool) -> list[Record]:
        del vectors
        keyed_events = [
            (f"{record.key} {index}", event)
            for record in batch
            for index, event in enumerate(self._parse_events(record))
        ]
        self._resolver.look_up(
            [event.object_id for _, event in keyed_events if isinstance(event, Event)]
        )
        return [self._to_record(key, event) for key, event in keyed_events]

    def scan_missing(
        self, own: Records, where: Where | None, *, vectors: bool
    ) -> Iterator[list[Record]]:
        """Yield all matching records, since events have no ids that both logs could share."""
        del own
        return self.scan(where, vectors=vectors)

    def count_missing(self, own: Records) -> int | None:
        """Return how many events the table has; None for no table."""
        del own
        return None if self.table is None else self.table.count()

    def _parse_events(self, record: Record) -> list[Event | _MappedRow]:
        """Return an event for each point that the record names, the row of an unreadable one."""
        row = {"type": "event", "action": "click", **self._map_fields(record)}
        points = row.pop("point", None)
        if isinstance(points, list):
            return [_parse_event({**row, "point": point}) for point in points]
        # A record without a point is a search on which nobody clicked, not an unreadable event.
        return [] if points is None else [_parse_event({**row, "point": points})]

    def _to_record(self, key: str, event: Event | _MappedRow) -> Record:
        if not isinstance(event, Event):
            return _make_unreadable(key, event)
        point = self._resolver.get(event.object_id)
        document = to_event_document(event)
        document["object_id"] = self._resolver.guess(event.object_id) if point is None else point
        return Record(key, document)


def _parse_event(row: _MappedRow) -> Event | _MappedRow:
    try:
        return cast(Event, parse_row(row, 0))
    except BadRow:
        return row


def _make_unreadable(key: str, row: _MappedRow) -> Record:
    """Return a record that is no search and no event, so that whoever reads it counts it as
    unreadable.
    """
    try:
        row_time = parse_past_timestamp(row.get("time"))
    except BadRow:
        row_time = 0.0
    return Record(key, {"timestamp": None, _ROW_TIME: row_time})


def _get_nested(document: Mapping[str, Any], field: str) -> Any:
    """Return the value of a field, or of a nested one whose path has dots in `field`; else None."""
    if field in document:
        return document[field]
    value: Any = document
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def is_document_match(document: Mapping[str, Any], where: Where) -> bool:
    """Return whether a document has what `where` asks for; an unreadable one by its time alone."""
    if document.get("timestamp") is None:
        document = {**document, "timestamp": document.get(_ROW_TIME)}
    return is_match(document, where)
