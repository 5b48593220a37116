"""The log that records of searches and events hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from nudge_sync.connector import Records
from nudge_sync.feedback.assembling import assembled
from nudge_sync.feedback.columns import Log
from nudge_sync.feedback.gathering import Asked, Events, Numbers
from nudge_sync.feedback.sieve import Sieve

Progress: TypeAlias = Callable[[int, int], None]
"""Told how many events and how many searches were read."""


def read(
    queries: Records,
    events: Records,
    actions: Mapping[str, float],
    dimension: int,
    progress: Progress | None = None,
) -> Log:
    """The log that the records hold, streamed in batches: events first, then searches.

    progress: told after each batch how many events and how many searches were read.
    """
    numbers = Numbers()
    acts, asked = Events(actions, numbers), Asked(dimension, numbers)
    sieve = Sieve()
    read_events = read_searches = 0
    for batch in events.scan(vectors=False):
        acts.take(sieve.events(batch))
        read_events += len(batch)
        if progress:
            progress(read_events, read_searches)
    acts.settle()
    for batch in queries.scan():
        asked.take(sieve.searches(batch))
        read_searches += len(batch)
        if progress:
            progress(read_events, read_searches)
    asked.settle()
    return replace(assembled(acts, asked, numbers), unreadable=sieve.unreadable)
