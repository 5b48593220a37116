"""The log that records of searches and events hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import time

from nudge_sync.base.gc_pause import rarely_collected
from nudge_sync.base.progress import Progress, silent
from nudge_sync.config import FeedbackSettings
from nudge_sync.connector import Record, Records, Where
from nudge_sync.feedback.clicks.decay import find_history_start
from nudge_sync.feedback.log.builder import Asked, Events, Numbers
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.log.freeze import assembled
from nudge_sync.feedback.log.validation import YEAR_10000, Sieve

EVENTS, SEARCHES = "events", "searches"
"""The stages of `read`. How many there are is not asked: some logs are counted by reading them."""
_SECOND = 1.0
"""Who does not know a moment says 0."""


def read(
    queries: Records,
    events: Records,
    settings: FeedbackSettings,
    dimension: int,
    progress: Progress = silent,
) -> Log:
    """The log that the records hold, streamed in batches: events first, then searches.

    With `history_days` the database is asked for those of that time and for undated ones alone.
    Raises what the records raise, and what `progress` raises.
    """
    with rarely_collected():
        numbers, sieve = Numbers(), Sieve()
        acts = Events(settings.actions, numbers)
        windows = _windows(settings.history_days)
        done = 0
        for batch in _scanned(events, windows, vectors=False):
            acts.take(sieve.events(batch))
            done += len(batch)
            progress(EVENTS, done, 0)
        acts.settle()
        odd = sieve.unreadable
        for whole in (False, True):
            asked, sieve.unreadable = Asked(dimension, numbers, whole=whole), odd
            if _taken(queries, windows, asked, sieve, progress):
                break
        return replace(assembled(acts, asked, numbers), unreadable=sieve.unreadable)


def _taken(
    queries: Records, windows: list[Where], asked: Asked, sieve: Sieve, progress: Progress
) -> bool:
    """Whether all searches could be taken; if not, they have to be read with their vectors."""
    done = 0
    for batch in _scanned(queries, windows, vectors=asked.whole):
        if not asked.take(sieve.searches(batch)):
            return False
        done += len(batch)
        progress(SEARCHES, done, 0)
    asked.settle()
    return asked.fetch(queries)


def _windows(history_days: float | None) -> list[Where]:
    if history_days is None:
        return [{}]
    undated, dated = (
        (0.0, _SECOND),
        (max(find_history_start(history_days, time()), _SECOND), YEAR_10000),
    )
    return [{"timestamp": undated}, {"timestamp": dated}]


def _scanned(records: Records, windows: list[Where], *, vectors: bool) -> Iterator[list[Record]]:
    for where in windows:
        yield from records.scan(where or None, vectors=vectors)
