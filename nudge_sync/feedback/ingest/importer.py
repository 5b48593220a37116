"""Import of feedback rows into the sidecar's records: good rows are stored, bad ones reported."""

from __future__ import annotations

from collections.abc import Collection as Container
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.connector import Collection, PointId, Record, Records
from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.positions import LoggedEvent, PositionCounter, contradicts_list
from nudge_sync.feedback.ingest.report import (
    CONFLICTS,
    NOT_SHOWN,
    UNKNOWN_LISTS,
    ImportReport,
    RejectsWriter,
    check_rejects_path,
    choose_rejects_path,
)
from nudge_sync.feedback.ingest.search_import import SearchImport
from nudge_sync.feedback.ingest.seen_keys import SeenKeys
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.ingest.text_files import refuse_pipe
from nudge_sync.feedback.log.columns import LABEL_ACTIONS
from nudge_sync.feedback.schema.point_ids import PointIdResolver
from nudge_sync.feedback.schema.records import Event, Search, to_event_record
from nudge_sync.feedback.schema.rows import ParsedRow, check_size, parse_feedback_row
from nudge_sync.feedback.schema.values import BadRow


@dataclass(frozen=True, slots=True)
class Destination:
    """The records that feedback is stored in, and the collection that it is about."""

    queries: Records
    events: Records
    collection: Collection
    all_queries: Records | None = None
    """All searches, if an application keeps some in a log of its own; these are only read."""
    space: int = 1
    """The number of the embedding space that searches are embedded for now."""


class RowsRefused(InputError):
    """Some rows are bad, or nothing in them is feedback, and nothing was imported.

    `report` lists the bad rows; its counts of what is stored are 0.
    """

    def __init__(self, report: ImportReport) -> None:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(report.reasons.items()))
        bad_rows = f"{report.rejected} bad rows ({reasons})"
        super().__init__(f"nothing was imported: {bad_rows if report.rejected else report.problem}")
        report.withdraw()
        self.report = report


def import_rows(
    sources: Sequence[Source],
    destination: Destination,
    *,
    strict: bool = False,
    requires_events: bool = False,
    actions: Container[str] = (),
    rejects_path: Path | None = None,
    rejects_beside_sources: bool = False,
    dry_run: bool = False,
    batch_size: int = 5000,
    progress: Progress = ignore_progress,
) -> ImportReport:
    """Store every good row of `sources`, and report the others.

    Storing the same rows again changes nothing. With `dry_run` nothing is stored, and the report
    says what would be. With `strict` all rows are checked before the
    first is stored, and a bad row raises RowsRefused; with `requires_events` rows that bring no
    feedback do so too. actions: those that have a weight; others that name no point are left out.
    rejects_path: the file that refused rows are written to; rejects_beside_sources: without one,
    to a file beside each source. Raises InputError for an unreadable file, for a pipe with
    `strict`, and if refused rows would go to one of the files to be read.
    """
    files = [path for source in sources for path in source.files]
    beside = map(choose_rejects_path, map(str, files)) if rejects_beside_sources else ()
    for path in [rejects_path] if rejects_path else beside:
        check_rejects_path(path, files)

    def run_pass(*, store: bool) -> ImportReport:
        with RejectsWriter(rejects_path, beside_sources=rejects_beside_sources) as rejects:
            importer = _Importer(destination, rejects, frozenset(map(str, files)), actions, store)
            _read_batches(sources, importer, batch_size, progress)
            return importer.finish()

    if dry_run:
        return run_pass(store=False)
    if strict:
        for path in files:
            refuse_pipe(path)
        report = run_pass(store=False)
        if report.rejected or (requires_events and report.problem):
            raise RowsRefused(report)
    return run_pass(store=True)


def _read_batches(
    sources: Sequence[Source], importer: _Importer, batch_size: int, progress: Progress
) -> None:
    rows = (row for source in sources for row in source.read_rows())
    rows_read, total = 0, sum(source.estimate_rows() for source in sources)
    for batch in _split_batches(rows, batch_size):
        importer.add_batch(batch)
        rows_read += len(batch)
        progress("import" if importer.store else "check", rows_read, max(rows_read, total))


def _split_batches(rows: Iterable[SourceRow], size: int) -> Iterator[list[SourceRow]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, size)):
        yield batch


@dataclass(slots=True)
class _Importer:
    destination: Destination
    rejects: RejectsWriter
    files: frozenset[str]
    actions: Container[str]
    store: bool
    report: ImportReport = field(default_factory=ImportReport)
    resolver: PointIdResolver = field(init=False)
    dimension: int = field(init=False)
    searches: SearchImport = field(init=False)
    positions: PositionCounter = field(init=False)
    seen_events: SeenKeys = field(default_factory=SeenKeys)
    pending_events: dict[str, int] = field(default_factory=dict)
    """Id of a query without a search so far -> how many events name it."""

    def __post_init__(self) -> None:
        self.dimension = self.destination.collection.describe().dimension
        self.resolver = PointIdResolver(self.destination.collection)
        self.searches = SearchImport(
            self.destination.queries, self.report, store=self.store, space=self.destination.space
        )
        self.positions = PositionCounter(self.files)

    def add_batch(self, rows: Sequence[SourceRow]) -> None:
        self.report.rows += len(rows)
        parsed_rows = [(row, parsed) for row in rows if (parsed := self._parse(row)) is not None]
        self._look_up_points(parsed_rows)
        for row, parsed in parsed_rows:
            if parsed.search is not None:
                self._add_search(row, parsed, parsed.search)
        # Searches first: an event never refers to a search that a crash kept out.
        shown_lists = self.searches.flush()
        self._forget_pending(shown_lists)
        self.positions.learn_lists(shown_lists)
        events = [
            event for row, parsed in parsed_rows for event in self._resolve_events(row, parsed)
        ]
        self._store_events(self.positions.add(self._judge_events(events, shown_lists)))

    def finish(self) -> ImportReport:
        self._store_events(self.positions.finish())
        searches = self.destination.all_queries or self.destination.queries
        stored = searches.get(sorted(self.pending_events), vectors=False)
        self._forget_pending({record.key: () for record in stored})
        self.report.without_search = len(self.pending_events)
        self.report.rejects_files = self.rejects.written_paths
        self.report.zero_based = sorted(self.positions.zero_based)
        return self.report

    def _refuse(self, row: SourceRow, bad: BadRow) -> None:
        self.report.refuse(row, bad)
        self.rejects.write(row, bad)

    def _parse(self, row: SourceRow) -> ParsedRow | None:
        try:
            if isinstance(row.content, BadRow):
                raise row.content
            first_position = 0 if row.source in self.files else 1
            parsed = parse_feedback_row(row.content, self.dimension, self.actions, first_position)
            for item in (parsed.search, *parsed.events):
                if item is not None:
                    check_size(item)
        except BadRow as bad:
            self._refuse(row, bad)
            return None
        if parsed.left_out and parsed.search is None:
            self.report.left_out[parsed.left_out] += 1
        return parsed

    def _look_up_points(self, parsed_rows: Sequence[tuple[SourceRow, ParsedRow]]) -> None:
        """Look up the points of events, and of each list as many as show whether it is known."""
        lists = [
            ids
            for _, parsed in parsed_rows
            if parsed.search is not None
            for ids in (parsed.search.shown, parsed.other_shown)
            if ids
        ]
        ids = [event.object_id for _, parsed in parsed_rows for event in parsed.events]
        self.resolver.look_up([*ids, *(ids[0] for ids in lists)])
        self.resolver.look_up(
            id_ for ids in lists if self.resolver.get(ids[0]) is None for id_ in ids[1:]
        )

    def _add_search(self, row: SourceRow, parsed: ParsedRow, search: Search) -> None:
        shown = search.shown
        is_known = self._is_known(shown)
        if not is_known and self._is_known(parsed.other_shown):
            shown, is_known = parsed.other_shown, True
        if shown and not is_known:
            self.report.doubt(row, UNKNOWN_LISTS)
        resolved = self.resolver.guess_shown(replace(search, shown=shown))
        try:
            self.searches.add(row, resolved, parsed)
        except BadRow as bad:
            self._refuse(row, bad)

    def _is_known(self, shown: Sequence[PointId]) -> bool:
        return any(self.resolver.get(id_) is not None for id_ in shown)

    def _resolve_events(
        self, row: SourceRow, parsed: ParsedRow
    ) -> Iterator[tuple[SourceRow, Event]]:
        for event in parsed.events:
            point = self.resolver.get(event.object_id)
            if point is None:
                self._refuse(row, BadRow("unknown point", f"no point {event.object_id!r}"))
            else:
                is_same = type(point) is type(event.object_id) and point == event.object_id
                yield row, event if is_same else replace(event, object_id=point)

    def _judge_events(
        self, events: Sequence[tuple[SourceRow, Event]], shown_lists: dict[str, Sequence[PointId]]
    ) -> list[LoggedEvent]:
        """Return the events with what their searches showed, and without those seen before."""
        missing = {event.query_id for _, event in events} - shown_lists.keys()
        missing -= self.pending_events.keys()
        if missing:
            stored = self.destination.queries.get(sorted(missing), vectors=False)
            shown_lists |= {record.key: record.document.get("shown") or () for record in stored}
        judged = []
        for row, event in events:
            record = to_event_record(event)
            if self.seen_events.add(record.key):
                shown = shown_lists.get(event.query_id)
                self._count_use(row, event, shown)
                judged.append(LoggedEvent(row, event, record, shown or ()))
            else:
                self._refuse(row, BadRow("duplicate", f"of query {event.query_id!r}, seen before"))
        return judged

    def _count_use(self, row: SourceRow, event: Event, shown: Sequence[PointId] | None) -> None:
        if self.actions and event.action_name not in self.actions:
            self.report.count_unweighted(event.action_name)
        elif shown is None and event.query_id not in self.searches:
            self.pending_events[event.query_id] = self.pending_events.get(event.query_id, 0) + 1
        elif shown and event.action_name not in LABEL_ACTIONS and event.object_id not in shown:
            self.report.doubt(row, NOT_SHOWN)
        else:
            self.report.useful_events += 1

    def _forget_pending(self, shown_lists: dict[str, Sequence[PointId]]) -> None:
        for query_id in self.pending_events.keys() & shown_lists.keys():
            self.report.useful_events += self.pending_events.pop(query_id)

    def _store_events(self, events: Sequence[LoggedEvent]) -> None:
        records: dict[str, Record] = {}
        for logged in events:
            if logged.event.position == 0:
                self._refuse(logged.row, BadRow("out of range", "position: 1 is the top"))
                continue
            if contradicts_list(logged):
                self.report.doubt(logged.row, CONFLICTS)
            records[logged.record.key] = logged.record
        if not records:
            return
        stored = self.destination.events.get(list(records), vectors=False)
        stored_keys = {record.key for record in stored}
        new = [record for key, record in records.items() if key not in stored_keys]
        if new and self.store:
            self.destination.events.put(new)
        self.report.events += len(records)
        self.report.unchanged += len(stored_keys)
