"""The daemon's log says now and then how far reading the feedback has come."""

import logging

import pytest

from nudge_sync.base.signals import StopRequest
from nudge_sync.errors import Interrupted
from nudge_sync.serve import daemon
from nudge_sync.serve.daemon import Daemon


def test_a_line_now_and_then_says_how_much_feedback_was_read(caplog, monkeypatch):
    monkeypatch.setattr(daemon, "_RECORDS_PER_LOG_LINE", 10)
    caplog.set_level(logging.INFO, "nudge_sync")
    stop = StopRequest()
    report = Daemon(None, stop, {})._build_progress("docs")
    for done in (4, 8, 12, 16, 24):
        report("events", done, 0)
    report("read", 50, 100)
    report("searches", 10, 0)
    told = [(record.details["stage"], record.details["read"]) for record in caplog.records]
    assert told == [("events", 12), ("events", 24), ("searches", 10)]
    stop.request()
    with pytest.raises(Interrupted):
        report("events", 25, 0)
