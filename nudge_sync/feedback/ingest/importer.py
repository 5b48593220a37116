"""Import of feedback rows into the sidecar's records: good rows are stored, bad ones reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.connector import Collection, Record, Records
from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.report import ImportReport, RejectsWriter, check_rejects_path
from nudge_sync.feedback.ingest.seen_keys import SeenKeys
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.ingest.text_files import refuse_pipe
from nudge_sync.feedback.schema.point_ids import PointIdResolver
from nudge_sync.feedback.schema.records import Event, Search, to_feedback_record
from nudge_sync.feedback.schema.rows import BadRow, parse_storable_row

_ValidRow: TypeAlias = tuple[SourceRow, Search | Event]


@dataclass(frozen=True, slots=True)
class Destination:
    """The records that feedback is stored in, and the collection that it is about."""

    queries: Records
    events: Records
    collection: Collection
    all_queries: Records | None = None
    """All searches, if an application keeps some in a log of its own; these are only read."""


class RowsRefused(InputError):
    """Some rows are bad, and nothing was imported; `report` lists them."""

    def __init__(self, report: ImportReport) -> None:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(report.reasons.items()))
        super().__init__(f"nothing was imported: {report.rejected} bad rows ({reasons})")
        self.report = report


def import_rows(
    sources: Sequence[Source],
    destination: Destination,
    *,
    strict: bool = False,
    rejects_path: Path | None = None,
    batch_size: int = 1000,
    progress: Progress = ignore_progress,
) -> ImportReport:
    """Store every good row of `sources`, and report the others.

    Storing the same rows again changes nothing. With `strict` all rows are checked before the
    first is stored, and a bad row raises RowsRefused. rejects_path: the file that refused rows
    are written to. Raises InputError for an unreadable file, for a pipe with `strict`, and if
    `rejects_path` is one of the files to be read.
    """
    files = [path for source in sources for path in source.files]
    if rejects_path is not None:
        check_rejects_path(rejects_path, files)
    if strict:
        for path in files:
            refuse_pipe(path)
        check_report = _run_pass(
            sources, destination, rejects_path, batch_size, progress, store=False
        )
        if check_report.rejected:
            raise RowsRefused(check_report)
    return _run_pass(sources, destination, rejects_path, batch_size, progress, store=True)


def _run_pass(
    sources: Sequence[Source],
    destination: Destination,
    rejects_path: Path | None,
    batch_size: int,
    progress: Progress,
    *,
    store: bool,
) -> ImportReport:
    with RejectsWriter(rejects_path) as rejects_writer:
        importer = _Importer(destination, rejects_writer, store=store)
        rows = (row for source in sources for row in source.read_rows())
        rows_read, total = 0, sum(source.estimate_rows() for source in sources)
        for batch in _split_batches(rows, batch_size):
            importer.add_batch(batch)
            rows_read += len(batch)
            progress("import" if store else "check", rows_read, max(rows_read, total))
        return importer.finish()


def _split_batches(rows: Iterable[SourceRow], size: int) -> Iterator[list[SourceRow]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, size)):
        yield batch


@dataclass(slots=True)
class _Importer:
    destination: Destination
    rejects: RejectsWriter
    store: bool
    report: ImportReport = field(default_factory=ImportReport)
    resolver: PointIdResolver = field(init=False)
    dimension: int = field(init=False)
    seen_keys: SeenKeys = field(default_factory=SeenKeys)
    pending_query_ids: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.dimension = self.destination.collection.describe().dimension
        self.resolver = PointIdResolver(self.destination.collection)

    def add_batch(self, rows: Sequence[SourceRow]) -> None:
        valid_rows = [valid_row for valid_row in map(self._parse, rows) if valid_row is not None]
        valid_rows = self._resolve_points(valid_rows)
        searches = self._drop_duplicates([row for row in valid_rows if isinstance(row[1], Search)])
        events = self._drop_duplicates([row for row in valid_rows if isinstance(row[1], Event)])
        vector_only_keys = {record.key for row, record in searches if row.is_vector_only}
        self._store_new(
            [record for _, record in searches], [record for _, record in events], vector_only_keys
        )

    def finish(self) -> ImportReport:
        searches = self.destination.all_queries or self.destination.queries
        stored = searches.get(sorted(self.pending_query_ids), vectors=False)
        self.report.without_search = len(self.pending_query_ids) - len(stored)
        self.report.rejects_file = self.rejects.written_path
        return self.report

    def _refuse(self, row: SourceRow, bad: BadRow) -> None:
        self.report.refuse(row, bad)
        self.rejects.write(row, bad)

    def _parse(self, row: SourceRow) -> _ValidRow | None:
        try:
            if isinstance(row.content, BadRow):
                raise row.content
            return row, parse_storable_row(row.content, self.dimension)
        except BadRow as bad:
            self._refuse(row, bad)
            return None

    def _resolve_points(self, valid_rows: list[_ValidRow]) -> list[_ValidRow]:
        self.resolver.look_up_items([item for _, item in valid_rows])
        resolved: list[_ValidRow] = []
        for row, item in valid_rows:
            if isinstance(item, Search):
                resolved.append((row, self.resolver.guess_shown(item)))
            elif (point := self.resolver.get(item.object_id)) is not None:
                resolved.append((row, replace(item, object_id=point)))
            else:
                self._refuse(row, BadRow("unknown point", f"no point {item.object_id!r}"))
        return resolved

    def _drop_duplicates(self, valid_rows: list[_ValidRow]) -> list[tuple[SourceRow, Record]]:
        unique_rows = []
        for row, item in valid_rows:
            record = to_feedback_record(item)
            if self.seen_keys.add(f"{type(item).__name__} {record.key}"):
                unique_rows.append((row, record))
            elif row.is_vector_only:
                self.report.searches += 1
                self.report.unchanged += 1
            else:
                self._refuse(row, BadRow("duplicate", f"of query {item.query_id!r}, seen before"))
        return unique_rows

    def _store_new(
        self, searches: list[Record], events: list[Record], vector_only_keys: set[str]
    ) -> None:
        new_searches = _select_changed(searches, self.destination.queries, vector_only_keys)
        new_events = _select_absent(events, self.destination.events)
        if self.store:
            # Searches first: an event never refers to a search that a crash kept out.
            if new_searches:
                self.destination.queries.put(new_searches)
            if new_events:
                self.destination.events.put(new_events)
        self.report.searches += len(searches)
        self.report.events += len(events)
        self.report.unchanged += len(searches) + len(events) - len(new_searches) - len(new_events)
        self._update_pending(searches, events)

    def _update_pending(self, searches: list[Record], events: list[Record]) -> None:
        imported_ids = {record.key for record in searches}
        self.pending_query_ids -= imported_ids
        referenced_ids = (
            {record.document["query_id"] for record in events}
            - imported_ids
            - self.pending_query_ids
        )
        if referenced_ids:
            stored = self.destination.queries.get(sorted(referenced_ids), vectors=False)
            self.pending_query_ids |= referenced_ids - {record.key for record in stored}


def _select_changed(
    records: list[Record], stored: Records, vector_only_keys: set[str]
) -> list[Record]:
    """Return the records that are not stored with this content.

    One of `vector_only_keys` is left out if it would replace a search that was logged.
    """
    if not records:
        return []
    stored_records = stored.get([record.key for record in records])
    stored_by_key = {record.key: record for record in stored_records}
    return [
        record
        for record in records
        if _is_change(
            record, stored_by_key.get(record.key), is_vector_only=record.key in vector_only_keys
        )
    ]


def _is_change(record: Record, stored: Record | None, *, is_vector_only: bool) -> bool:
    if stored is None:
        return True
    if is_vector_only and _is_logged(stored):
        return False
    if record.vector is None or stored.vector is None:
        return True
    return record.document != stored.document or not np.array_equal(record.vector, stored.vector)


def _is_logged(search: Record) -> bool:
    """Return whether an application logged a stored search, with results, time or user."""
    fields = ("shown", "timestamp", "session_id", "client_id")
    return any(search.document.get(name) for name in fields)


def _select_absent(records: list[Record], stored: Records) -> list[Record]:
    """Return the records whose key, a digest of their content, is not stored."""
    if not records:
        return []
    stored_records = stored.get([record.key for record in records], vectors=False)
    stored_keys = {record.key for record in stored_records}
    return [record for record in records if record.key not in stored_keys]
