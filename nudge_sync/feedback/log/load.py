"""Reading the log: records of searches and events in, one `Log` out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from time import time

from nudge_sync.base.gc_pause import pause_gc
from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.connector import Record, Records, Where
from nudge_sync.feedback.log.builder import Encoders, EventsBuilder, SearchesBuilder
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.log.former_searches import FormerSearches
from nudge_sync.feedback.log.freeze import freeze_log
from nudge_sync.feedback.log.joined_records import split_events, split_searches
from nudge_sync.feedback.log.validation import RecordValidator
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.store.embedding_space import EmbeddingSpace
from nudge_sync.store.schema import LAST_MOMENT

EVENTS_STAGE, SEARCHES_STAGE = "events", "searches"
"""The stages of `load_log` that `progress` hears of. Its total is 0, unknown: an application's log
can only be counted by reading it."""
_SECONDS_PER_DAY = 86_400.0
_EARLIEST_DATED = 1.0
"""Seconds since 1970; a time below it means undated."""


def load_log(
    queries: Records,
    events: Records,
    settings: FeedbackSettings,
    dimension: int,
    progress: Progress = ignore_progress,
    *,
    searches_where: Where | None = None,
    space: EmbeddingSpace | None = None,
) -> Log:
    """Return the log that the records hold, read in batches: events first, then searches.

    searches_where: what the searches have to match; events on other searches stay, without one.
    space: what documents are embedded with now; searches of a former space are left out. None: all
    are taken.
    With `history_days` the database is asked only for records of that time and for undated ones.
    Raises what the records raise, and what `progress` raises.
    """
    with pause_gc():
        encoders, validator = Encoders(), RecordValidator()
        events_builder = EventsBuilder(settings.actions, encoders)
        time_ranges = _list_time_ranges(settings.history_days)
        records_read = 0
        events, event_table = split_events(events)
        for batch in _scan(events, time_ranges, vectors=False):
            events_builder.add_batch(validator.validate_events(batch))
            records_read += len(batch)
            progress(EVENTS_STAGE, records_read, 0)
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
            batches = former_searches.leave_out(
                _scan(queries, where, vectors=searches_builder.reads_vectors)
            )
            if not _read_searches(queries, batches, searches_builder, validator, progress):
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
        return replace(
            freeze_log(events_builder, searches_builder, encoders),
            unreadable_records=validator.unreadable_records,
            former_searches=former_searches.count,
        )


def _read_searches(
    queries: Records,
    batches: Iterator[list[Record]],
    searches_builder: SearchesBuilder,
    validator: RecordValidator,
    progress: Progress,
) -> bool:
    """Read all searches; return False where they have to be read again, with their vectors."""
    records_read = 0
    for batch in batches:
        if not searches_builder.add_batch(validator.validate_searches(batch)):
            return False
        records_read += len(batch)
        progress(SEARCHES_STAGE, records_read, 0)
    searches_builder.flush()
    return searches_builder.fetch_vectors(queries)


def _tell_rows(progress: Progress, stage: str, records_read: int) -> Callable[[int], None]:
    """Return what is told of the rows of a table that come after some records."""

    def tell(rows_read: int) -> None:
        progress(stage, records_read + rows_read, 0)

    return tell


def _list_time_ranges(history_days: float | None) -> list[Where]:
    if history_days is None:
        return [{}]
    # A midnight in UTC, so that all cycles of a day read the same records.
    today = time() // _SECONDS_PER_DAY * _SECONDS_PER_DAY
    start = max(today - history_days * _SECONDS_PER_DAY, _EARLIEST_DATED)
    undated, dated = (0.0, _EARLIEST_DATED), (start, LAST_MOMENT / 1000)
    return [{"timestamp": undated}, {"timestamp": dated}]


def _scan(records: Records, conditions: list[Where], *, vectors: bool) -> Iterator[list[Record]]:
    for where in conditions:
        yield from records.scan(where or None, vectors=vectors)
