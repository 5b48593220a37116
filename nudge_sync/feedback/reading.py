"""The log that records of searches and events hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nudge_sync.collecting import rarely_collected
from nudge_sync.connector import Records
from nudge_sync.feedback.assembling import assembled
from nudge_sync.feedback.columns import Log
from nudge_sync.feedback.gathering import Asked, Events, Numbers
from nudge_sync.feedback.sieve import Sieve
from nudge_sync.progress import Progress, silent

EVENTS, SEARCHES = "events", "searches"
"""The stages of `read`. How many there are is not asked: some logs are counted by reading them."""


def read(
    queries: Records,
    events: Records,
    actions: Mapping[str, float],
    dimension: int,
    progress: Progress = silent,
) -> Log:
    """The log that the records hold, streamed in batches: events first, then searches.

    Raises what the records raise, and what `progress` raises.
    """
    with rarely_collected():
        numbers = Numbers()
        acts, asked = Events(actions, numbers), Asked(dimension, numbers)
        sieve = Sieve()
        read_events = read_searches = 0
        for batch in events.scan(vectors=False):
            acts.take(sieve.events(batch))
            read_events += len(batch)
            progress(EVENTS, read_events, 0)
        acts.settle()
        for batch in queries.scan():
            asked.take(sieve.searches(batch))
            read_searches += len(batch)
            progress(SEARCHES, read_searches, 0)
        asked.settle()
        return replace(assembled(acts, asked, numbers), unreadable=sieve.unreadable)
