"""Log lines as text and as JSON."""

from __future__ import annotations

import json
import logging

import pytest

from nudge_sync.serve.log_lines import JsonFormatter, TextFormatter, log_message


def log_and_format(formatter: logging.Formatter, caplog, **details: object) -> str:
    caplog.set_level(logging.INFO, "nudge_sync")
    log_message(logging.INFO, "cycle\napplied", **details)
    return formatter.format(caplog.records[-1])


def test_json_has_the_details_as_fields(caplog):
    entry = json.loads(log_and_format(JsonFormatter(), caplog, collection="é", moved=2))
    assert entry.pop("time").endswith("+00:00")
    assert entry == {
        "level": "info",
        "message": "cycle\napplied",
        "collection": "é",
        "moved": 2,
    }


def test_text_is_one_line_whatever_the_details_hold(caplog):
    line = log_and_format(TextFormatter(), caplog, collection="a b\n\x1b", before={"ndcg@10": 0.5})
    _, _, rest = line.partition(" ")
    assert rest == ('info    cycle\\napplied collection="a b\\n\\u001b" before={"ndcg@10": 0.5}')


@pytest.mark.parametrize(
    ("debug", "level", "has_traceback"),
    [
        ("", logging.ERROR, False),
        ("1", logging.WARNING, False),
        ("1", logging.ERROR, True),
    ],
)
def test_a_traceback_comes_with_an_error_if_asked_for(
    debug, level, has_traceback, monkeypatch, caplog
):
    monkeypatch.setenv("NUDGE_SYNC_DEBUG", debug)
    try:
        {}["hunter2"]
    except KeyError:
        log_message(level, "cycle failed")
    (record,) = caplog.records
    entry = json.loads(JsonFormatter().format(record))
    assert ("hunter2" in entry.get("traceback", "")) is has_traceback
    assert ("hunter2" in TextFormatter().format(record)) is has_traceback


def test_without_an_error_in_hand_there_is_no_traceback(monkeypatch, caplog):
    monkeypatch.setenv("NUDGE_SYNC_DEBUG", "1")
    log_message(logging.ERROR, "drill ended", ok=False)
    assert "traceback" not in json.loads(JsonFormatter().format(caplog.records[0]))
