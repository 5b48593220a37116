"""Rows of feedback into the sidecar's records: the good ones stored, the bad ones named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np

from nudge_sync.base.progress import Progress, silent
from nudge_sync.connector import Collection, Record, Records
from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.report import ImportReport, Rejects, check_apart
from nudge_sync.feedback.ingest.seen_keys import Seen
from nudge_sync.feedback.ingest.sources import Row, Source, check_lasting
from nudge_sync.feedback.schema.point_ids import PointIds
from nudge_sync.feedback.schema.records import Event, Search, event_record, search_record
from nudge_sync.feedback.schema.rows import BadRow, interpreted

_Good: TypeAlias = tuple[Row, Search | Event]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where feedback goes, and the collection that it speaks of."""

    queries: Records
    events: Records
    collection: Collection
    searches: Records | None = None
    """Where all searches are, if some are kept elsewhere too; only read."""


class RowsRefused(InputError):
    """Some rows are bad and none was stored; `report` names them."""

    def __init__(self, report: ImportReport) -> None:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(report.reasons.items()))
        super().__init__(f"nothing was imported: {report.rejected} bad rows ({reasons})")
        self.report = report


def import_rows(
    sources: Sequence[Source],
    destination: Destination,
    *,
    strict: bool = False,
    rejects: Path | None = None,
    batch_size: int = 1000,
    progress: Progress = silent,
) -> ImportReport:
    """Store every good row of `sources`, and say what became of the others.

    Storing the same rows again changes nothing. With `strict` all rows are looked at before the
    first is stored, and one bad row raises RowsRefused. Raises InputError for unreadable files, a
    pipe with `strict`, and a file that is to be read and to hold the rejects.
    """
    files = [path for source in sources for path in source.files]
    if rejects is not None:
        check_apart(rejects, files)
    if strict:
        for path in files:
            check_lasting(path)
        checked = _pass(sources, destination, rejects, batch_size, progress, store=False)
        if checked.rejected:
            raise RowsRefused(checked)
    return _pass(sources, destination, rejects, batch_size, progress, store=True)


def _pass(
    sources: Sequence[Source],
    destination: Destination,
    rejects: Path | None,
    batch_size: int,
    progress: Progress,
    *,
    store: bool,
) -> ImportReport:
    with Rejects(rejects) as file:
        importer = _Importer(destination, file, store=store)
        rows = (row for source in sources for row in source.rows())
        read, total = 0, sum(source.size() for source in sources)
        for batch in _batches(rows, batch_size):
            importer.take(batch)
            read += len(batch)
            progress("import" if store else "check", read, max(read, total))
        return importer.finished()


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, size)):
        yield batch


@dataclass(slots=True)
class _Importer:
    destination: Destination
    rejects: Rejects
    store: bool
    report: ImportReport = field(default_factory=ImportReport)
    ids: PointIds = field(init=False)
    dimension: int = field(init=False)
    seen: Seen = field(default_factory=Seen)
    waiting: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.dimension = self.destination.collection.describe().dimension
        self.ids = PointIds(self.destination.collection)

    def take(self, rows: Sequence[Row]) -> None:
        good = [one for one in map(self._interpret, rows) if one is not None]
        good = self._known_points(good)
        searches = self._first_of_each([one for one in good if isinstance(one[1], Search)])
        events = self._first_of_each([one for one in good if isinstance(one[1], Event)])
        bare = {record.key for row, record in searches if row.bare}
        self._put([record for _, record in searches], [record for _, record in events], bare)

    def finished(self) -> ImportReport:
        searches = self.destination.searches or self.destination.queries
        stored = searches.get(sorted(self.waiting), vectors=False)
        self.report.without_search = len(self.waiting) - len(stored)
        self.report.rejects_file = self.rejects.written_to
        return self.report

    def _refuse(self, row: Row, bad: BadRow) -> None:
        self.report.refuse(row, bad)
        self.rejects.add(row, bad)

    def _interpret(self, row: Row) -> _Good | None:
        try:
            if isinstance(row.content, BadRow):
                raise row.content
            return row, interpreted(row.content, self.dimension)
        except BadRow as bad:
            self._refuse(row, bad)
            return None

    def _known_points(self, good: list[_Good]) -> list[_Good]:
        self.ids.look_up([item.object_id for _, item in good if isinstance(item, Event)])
        self.ids.learn(id_ for _, item in good if isinstance(item, Search) for id_ in item.shown)
        kept: list[_Good] = []
        for row, item in good:
            if isinstance(item, Search):
                shown = tuple(self.ids.likely(id_) for id_ in item.shown)
                kept.append((row, replace(item, shown=shown)))
            elif (point := self.ids.found(item.object_id)) is not None:
                kept.append((row, replace(item, object_id=point)))
            else:
                self._refuse(row, BadRow("unknown point", f"no point {item.object_id!r}"))
        return kept

    def _first_of_each(self, good: list[_Good]) -> list[tuple[Row, Record]]:
        kept = []
        for row, item in good:
            record = _record(item)
            if self.seen.add(f"{type(item).__name__} {record.key}"):
                kept.append((row, record))
            elif row.bare:
                self.report.searches += 1
                self.report.unchanged += 1
            else:
                self._refuse(row, BadRow("duplicate", f"of query {item.query_id!r}, seen before"))
        return kept

    def _put(self, searches: list[Record], events: list[Record], bare: set[str]) -> None:
        new_searches = _changed(searches, self.destination.queries, bare)
        new_events = _absent(events, self.destination.events)
        if self.store:
            # Searches first: an event never refers to a search that a crash kept out.
            if new_searches:
                self.destination.queries.put(new_searches)
            if new_events:
                self.destination.events.put(new_events)
        self.report.searches += len(searches)
        self.report.events += len(events)
        self.report.unchanged += len(searches) + len(events) - len(new_searches) - len(new_events)
        self._note_waiting(searches, events)

    def _note_waiting(self, searches: list[Record], events: list[Record]) -> None:
        here = {record.key for record in searches}
        self.waiting -= here
        asked = {record.document["query_id"] for record in events} - here - self.waiting
        stored = self.destination.queries.get(sorted(asked), vectors=False) if asked else []
        self.waiting |= asked - {record.key for record in stored}


def _record(item: Search | Event) -> Record:
    return search_record(item) if isinstance(item, Search) else event_record(item)


def _changed(records: list[Record], stored: Records, bare: set[str]) -> list[Record]:
    """Those that are not stored with this very content; of the `bare` ones, those that would not
    replace what an application logged.
    """
    if not records:
        return []
    old = {record.key: record for record in stored.get([one.key for one in records])}
    kept = [one for one in records if one.key not in old or not _same(one, old[one.key])]
    return [one for one in kept if not (one.key in bare and _is_logged(old.get(one.key)))]


def _is_logged(search: Record | None) -> bool:
    """Whether a search says more than what was asked for."""
    document = {} if search is None else search.document
    return any(document.get(name) for name in ("shown", "timestamp", "session_id", "client_id"))


def _same(one: Record, other: Record) -> bool:
    if one.vector is None or other.vector is None:
        return False
    return one.document == other.document and np.array_equal(one.vector, other.vector)


def _absent(records: list[Record], stored: Records) -> list[Record]:
    """Those whose key, a digest of their content, is not stored."""
    if not records:
        return []
    old = {record.key for record in stored.get([one.key for one in records], vectors=False)}
    return [one for one in records if one.key not in old]
