"""Reading the log: records of searches and events in, one `Log` out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import time

from nudge_sync.base.gc_pause import pause_gc
from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.connector import Record, Records, Where
from nudge_sync.feedback.blocks.blocked_log import BlockedLog, LogPart
from nudge_sync.feedback.blocks.columns import EventBlock, SearchBlock
from nudge_sync.feedback.blocks.time_ranges import EARLIEST_DATED, list_time_ranges
from nudge_sync.feedback.log.builder import Encoders, EventsBuilder
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.log.former_searches import FormerSearches
from nudge_sync.feedback.log.freeze import freeze_log
from nudge_sync.feedback.log.joined_records import split_events, split_searches
from nudge_sync.feedback.log.searches_builder import SearchesBuilder
from nudge_sync.feedback.log.validation import RecordValidator
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.store.embedding_space import EmbeddingSpace

EVENTS_STAGE, SEARCHES_STAGE = "events", "searches"
"""The stages of `load_log` that `progress` hears of. Its total is 0, unknown: an application's log
can only be counted by reading it."""
_SECONDS_PER_DAY = 86_400.0


def load_log(
    queries: Records,
    events: Records,
    settings: FeedbackSettings,
    dimension: int,
    progress: Progress = ignore_progress,
    *,
    searches_where: Where | None = None,
    space: EmbeddingSpace | None = None,
    blocks: BlockedLog | None = None,
) -> Log:
    """Return the log that the records hold, read in batches: events first, then searches.

    searches_where: what the searches have to match; events on other searches stay, without one.
    space: what documents are embedded with now; searches of a former space are left out. None: all
    are taken.
    blocks: of these queries and events; gives the same log, bit for bit, for fewer records read.
    Not together with `searches_where`.
    With `history_days` the database is asked only for records of that time and for undated ones.
    Raises what the records raise, and what `progress` raises.
    """
    with pause_gc():
        encoders, validator = Encoders(), RecordValidator()
        events_builder = EventsBuilder(settings.actions, encoders)
        start = _find_start(settings.history_days)
        time_ranges = list_time_ranges(start)
        events, event_table = split_events(events)
        if blocks is not None:
            blocks.begin()
        parts = (
            _scan(events, time_ranges, vectors=False)
            if blocks is None
            else blocks.read("events", start)
        )
        records_read = _read_events(parts, events_builder, validator, progress)
        if event_table is not None:
            tell = _tell_rows(progress, EVENTS_STAGE, records_read)
            validator.unreadable_records += event_table.add_to(
                events_builder, encoders, time_ranges, tell
            )
        events_builder.flush()
        unreadable_events = validator.unreadable_records
        # No column of a table is one that a filter of searches names.
        queries, search_table = (queries, None) if searches_where else split_searches(queries)
        for reads_vectors in (False, True):
            former_searches = FormerSearches(space)
            searches_builder, validator.unreadable_records = (
                SearchesBuilder(dimension, encoders, reads_vectors=reads_vectors),
                unreadable_events,
            )
            where: list[Where] = [
                {**time_range, **(searches_where or {})} for time_range in time_ranges
            ]
            parts = (
                _scan(queries, where, vectors=reads_vectors)
                if blocks is None or reads_vectors
                else blocks.read("searches", start)
            )
            reader = _SearchesReader(searches_builder, validator, former_searches)
            if not (reader.read(parts, progress) and searches_builder.fetch_vectors(queries)):
                continue
            if search_table is not None:
                tell = _tell_rows(progress, SEARCHES_STAGE, len(searches_builder.time))
                validator.unreadable_records += search_table.add_to(
                    searches_builder,
                    encoders,
                    time_ranges,
                    own=queries,
                    former_searches=former_searches,
                    progress=tell,
                )
            break
        if blocks is not None:
            blocks.finish()
        return replace(
            freeze_log(events_builder, searches_builder, encoders),
            unreadable_records=validator.unreadable_records,
            former_searches=former_searches.count,
        )


def _read_events(
    parts: Iterator[LogPart],
    builder: EventsBuilder,
    validator: RecordValidator,
    progress: Progress,
) -> int:
    """Read all events, and return how many records that were."""
    records_read = 0
    for part in parts:
        if isinstance(part, EventBlock):
            builder.add_block(part)
            validator.unreadable_records += part.unreadable_records
        elif isinstance(part, list):
            builder.add_batch(validator.validate_events(part))
        records_read += len(part)
        progress(EVENTS_STAGE, records_read, 0)
    return records_read


@dataclass(frozen=True, slots=True)
class _SearchesReader:
    builder: SearchesBuilder
    validator: RecordValidator
    former_searches: FormerSearches

    def read(self, parts: Iterator[LogPart], progress: Progress) -> bool:
        """Read all searches; return False where they have to be read again, with their vectors."""
        records_read = 0
        for part in parts:
            if isinstance(part, SearchBlock):
                self.builder.add_block(self.former_searches.leave_out_of_block(part))
            elif isinstance(part, list) and not self._add_batch(part):
                return False
            records_read += len(part)
            progress(SEARCHES_STAGE, records_read, 0)
        self.builder.flush()
        return True

    def _add_batch(self, records: list[Record]) -> bool:
        kept = self.former_searches.leave_out(records)
        return self.builder.add_batch(self.validator.validate_searches(kept))


def _tell_rows(progress: Progress, stage: str, records_read: int) -> Callable[[int], None]:
    """Return what is told of the rows of a table that come after some records."""

    def tell(rows_read: int) -> None:
        progress(stage, records_read + rows_read, 0)

    return tell


def _find_start(history_days: float | None) -> float:
    """Return the seconds since 1970 from which on records are read; 0: all are."""
    if history_days is None:
        return 0.0
    # A midnight in UTC, so that all cycles of a day read the same records.
    today = time() // _SECONDS_PER_DAY * _SECONDS_PER_DAY
    return max(today - history_days * _SECONDS_PER_DAY, EARLIEST_DATED)


def _scan(records: Records, conditions: list[Where], *, vectors: bool) -> Iterator[list[Record]]:
    for where in conditions:
        yield from records.scan(where or None, vectors=vectors)
