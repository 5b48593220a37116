"""Many days of a log take few requests, each of which costs more than what it reads."""

from __future__ import annotations

from collections import Counter

from nudge_sync.feedback.log.load import load_log
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.testing.memory import MemoryRecords
from tests.support.clocked_log import DAY, DIMENSION, HOUR_MS


def test_many_days_are_read_and_written_at_once(clocked, monkeypatch):
    """Each request waits for the server's clock on Milvus, and for the disk on Qdrant Edge."""
    clocked.now += 70 * DAY * 1000
    clocked.fill(days=60)
    requests = Counter()
    for name in ("put", "delete", "count", "scan"):
        function = getattr(MemoryRecords, name)

        def note(*arguments, name=name, function=function, **options):
            requests[name] += 1
            return function(*arguments, **options)

        monkeypatch.setattr(MemoryRecords, name, note)
    blocked = clocked.open(writes=True)
    load_log(clocked.queries, clocked.events, FeedbackSettings(), DIMENSION, blocks=blocked)
    assert blocked.counts.made == 120
    assert requests["count"] + requests["put"] < 30
    requests.clear()
    blocked = clocked.open(writes=True)
    load_log(clocked.queries, clocked.events, FeedbackSettings(), DIMENSION, blocks=blocked)
    assert (blocked.counts.reused, blocked.counts.records_read) == (120, 0)
    assert requests["count"] + requests["put"] < 20


def test_a_log_that_was_just_imported_is_read_at_once(clocked, monkeypatch):
    clocked.now -= 2 * HOUR_MS - 1
    counted = []
    count = MemoryRecords.count

    def list_counts(records, where=None):
        counted.append(where)
        return count(records, where)

    monkeypatch.setattr(MemoryRecords, "count", list_counts)
    blocked = clocked.open(writes=True)
    load_log(clocked.queries, clocked.events, FeedbackSettings(), DIMENSION, blocks=blocked)
    assert (blocked.counts.made, blocked.counts.unsettled) == (0, 10)
    assert blocked.counts.records_read == 80
    assert len(counted) < 20
