"""The log that records of searches and events hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import time

from nudge_sync.base.gc_pause import pause_gc
from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import FeedbackSettings
from nudge_sync.connector import Record, Records, Where
from nudge_sync.feedback.clicks.decay import find_history_start
from nudge_sync.feedback.log.builder import Encoders, EventsBuilder, SearchesBuilder
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.log.freeze import freeze_log
from nudge_sync.feedback.log.validation import TIMESTAMP_LIMIT, RecordValidator

EVENTS_STAGE, SEARCHES_STAGE = "events", "searches"
"""The stages of `read`. How many there are is not asked: some logs are counted by reading them."""
_EARLIEST_DATED = 1.0
"""Who does not know a moment says 0."""


def load_log(
    queries: Records,
    events: Records,
    settings: FeedbackSettings,
    dimension: int,
    progress: Progress = ignore_progress,
) -> Log:
    """The log that the records hold, streamed in batches: events first, then searches.

    With `history_days` the database is asked for those of that time and for undated ones alone.
    Raises what the records raise, and what `progress` raises.
    """
    with pause_gc():
        encoders, validator = Encoders(), RecordValidator()
        events_builder = EventsBuilder(settings.actions, encoders)
        time_ranges = _list_time_ranges(settings.history_days)
        records_read = 0
        for batch in _scan_time_ranges(events, time_ranges, vectors=False):
            events_builder.add_batch(validator.validate_events(batch))
            records_read += len(batch)
            progress(EVENTS_STAGE, records_read, 0)
        events_builder.flush()
        unreadable_events = validator.unreadable_records
        for reads_vectors in (False, True):
            searches_builder, validator.unreadable_records = (
                SearchesBuilder(dimension, encoders, reads_vectors=reads_vectors),
                unreadable_events,
            )
            if _read_searches(queries, time_ranges, searches_builder, validator, progress):
                break
        return replace(
            freeze_log(events_builder, searches_builder, encoders),
            unreadable_records=validator.unreadable_records,
        )


def _read_searches(
    queries: Records,
    time_ranges: list[Where],
    searches_builder: SearchesBuilder,
    validator: RecordValidator,
    progress: Progress,
) -> bool:
    """Whether all searches could be taken; if not, they have to be read with their vectors."""
    records_read = 0
    for batch in _scan_time_ranges(queries, time_ranges, vectors=searches_builder.reads_vectors):
        if not searches_builder.add_batch(validator.validate_searches(batch)):
            return False
        records_read += len(batch)
        progress(SEARCHES_STAGE, records_read, 0)
    searches_builder.flush()
    return searches_builder.fetch_vectors(queries)


def _list_time_ranges(history_days: float | None) -> list[Where]:
    if history_days is None:
        return [{}]
    undated, dated = (
        (0.0, _EARLIEST_DATED),
        (max(find_history_start(history_days, time()), _EARLIEST_DATED), TIMESTAMP_LIMIT),
    )
    return [{"timestamp": undated}, {"timestamp": dated}]


def _scan_time_ranges(
    records: Records, time_ranges: list[Where], *, vectors: bool
) -> Iterator[list[Record]]:
    for time_range in time_ranges:
        yield from records.scan(time_range or None, vectors=vectors)
