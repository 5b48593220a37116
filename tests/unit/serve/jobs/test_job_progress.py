"""What a running job logs, and where it stops."""

from __future__ import annotations

import logging

import pytest

from nudge_sync.base.signals import StopRequest
from nudge_sync.errors import Interrupted
from nudge_sync.serve.jobs.job_progress import build_job_progress


def test_a_line_now_and_then_says_how_much_feedback_was_read(caplog):
    caplog.set_level(logging.INFO, "nudge_sync")
    report = build_job_progress("docs", StopRequest(), records_per_line=10)
    for done in (4, 8, 12, 16, 24):
        report("events", done, 0)
    report("read", 50, 100)
    report("searches", 10, 0)
    lines = [
        (record.details["collection"], record.details["stage"], record.details["read"])
        for record in caplog.records
    ]
    assert lines == [("docs", "events", 12), ("docs", "events", 24), ("docs", "searches", 10)]


def test_a_job_ends_at_the_next_batch_once_somebody_asks():
    stop = StopRequest()
    report = build_job_progress("docs", stop)
    report("write", 1, 2)
    stop.request()
    with pytest.raises(Interrupted):
        report("write", 2, 2)
