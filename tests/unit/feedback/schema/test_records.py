"""What is dated in the future is refused, whichever way it comes."""

from __future__ import annotations

from time import time

import numpy as np
import pytest

from nudge_sync import FeedbackLog
from nudge_sync.feedback.erase import FeedbackSelector
from nudge_sync.feedback.ingest.batches import BatchImporter
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase

DIMENSION = 4
CLICK = {"query_id": "q1", "action": "click", "point": 1}


@pytest.fixture
def database() -> MemoryDatabase:
    made = MemoryDatabase()
    made.store.create("docs", DIMENSION)
    made.store.upsert("docs", list(range(DIMENSION)), np.eye(DIMENSION, dtype=np.float32))
    return made


def test_by_an_applications_log(database):
    with FeedbackLog(database, "docs", flush_seconds=0.01) as log:
        log.event("q1", "click", 1, time=time() + 3600)
        log.event("q1", "click", 2, time=time() + 7 * 86_400)
        assert log.flush()
        assert (log.counts.stored, log.counts.refused) == (1, 1)
        assert "more than a day ahead" in log.counts.last_error
    assert open_target(database, "docs").events.count() == 1


def test_over_http(database):
    batches = BatchImporter(lambda: database, {"docs": ""})
    rows = [CLICK | {"time": time() + 3600}, CLICK | {"time": time() + 7 * 86_400}]
    report = batches.store("docs", "event", rows, partial=True)
    assert (report.accepted, report.reasons) == (1, {"unparsable time": 1})


def test_a_day_to_forget_before_may_be_to_come():
    low, high = FeedbackSelector(before="9999-12-31").to_filter()["timestamp"]
    assert low <= time() < high
