"""What is printed: JSON that is JSON, tables, and questions."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import typer

from nudge_sync.cli.output import (
    confirm,
    format_difference,
    format_value,
    print_line,
    print_pairs,
    print_result,
    print_table,
    require_terminal,
    show_progress,
    to_json_value,
)
from nudge_sync.cli.progress_lines import ProgressLines
from nudge_sync.errors import ConfigError, Declined, Interrupted


def test_json_holds_what_json_can_hold():
    value = {1: np.float32(0.5), "a": np.arange(2), "b": (float("nan"), float("inf"), True, None)}
    assert to_json_value(value) == {"1": 0.5, "a": [0, 1], "b": [None, None, True, None]}
    assert json.dumps(to_json_value({"x": {3}, "y": np.int64(3)})) == '{"x": [3], "y": 3}'
    assert to_json_value({"path": ConfigError("x")}) == {"path": "x"}


def test_a_result_is_json_or_drawn_for_people(capsys):
    print_result({"é": [1]}, as_json=True, print_text=lambda _: pytest.fail("drawn"))
    assert json.loads(capsys.readouterr().out) == {"é": [1]}
    print_result("drawn", as_json=False, print_text=print)
    assert capsys.readouterr().out == "drawn\n"


def test_lines_and_cells_keep_a_terminal_safe(capsys):
    print_line("a\x1b[2J")
    print_table("", ("name",), [["b\x07"], [None], [0.25]])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "b\\x07" in out
    assert "0.2500" in out


def test_pairs_are_one_line_each_however_deep(capsys):
    values = {"before": {"ndcg@10": 0.5}, "ids": [1, "u"], "none": None, "empty": [], "zero": 0}
    print_pairs("docs", values)
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "docs"
    assert [line.split() for line in lines] == [
        ["before", "│", "ndcg@10", "0.5000"],
        ["ids", "│", "1,", "u"],
        ["zero", "│", "0"],
    ]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("planned_at", 1_764_338_400_000, "2025-11-28 14:00:00 UTC"),
        ("interval", [0.07476074357728334, 0.1367755404382571], "0.0748, 0.1368"),
        ("gate", {"passed": True, "reasons": ["one, two"]}, "passed yes, reasons one, two"),
        ("reasons", ["a gain, sure", "no loss"], "a gain, sure; no loss"),
        ("ids", list(range(12)), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"),
        ("live", {"before": {"ndcg@10": 0.5}, "lost": False}, "before ndcg@10 0.5000, lost no"),
        ("text", "a\x1b[2J", "a\\x1b[2J"),
    ],
)
def test_values_are_written_for_people(name, value, expected):
    assert format_value(name, value) == expected


def test_without_a_terminal_a_line_now_and_then_says_that_work_goes_on():
    said, heard = [], Event()

    def print_line(text: str) -> None:
        said.append(text)
        heard.set()

    with ProgressLines(print_line, 0.01) as lines:
        lines.report("solve", 0, 1)
        heard.clear()
        assert heard.wait(60)
        assert said[-1].startswith("solve, ")
        lines.report("write", 20, 60)
        heard.clear()
        assert heard.wait(60)
        heard.clear()
        assert heard.wait(60)
        assert said[-1].startswith("write 20 of 60, ")
        assert said[-1].endswith(" s so far")
    heard.clear()
    assert not heard.wait(0.05)


@pytest.mark.parametrize(
    ("before", "after", "digits", "expected"),
    [(0.5, 0.625, 4, "+0.1250"), (50.0, 47.5, 2, "-2.50"), (None, 1.0, 4, ""), (1.0, None, 4, "")],
)
def test_differences_have_a_sign(before, after, digits, expected):
    assert format_difference(before, after, digits) == expected


def test_a_yes_asks_nothing_and_no_terminal_is_an_error(monkeypatch):
    confirm("Write?", assume_yes=True)
    require_terminal(assume_yes=True)
    with Path(os.devnull).open(encoding="utf-8") as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        with pytest.raises(ConfigError, match="--yes"):
            require_terminal(assume_yes=False)
        with pytest.raises(ConfigError, match="--yes"):
            confirm("Write?", assume_yes=False)


def test_a_signal_ends_the_work_at_its_next_report(capsys):
    with show_progress() as progress:
        progress("write", 1, 2)
        signal.raise_signal(signal.SIGINT)
        assert "ending after this batch" in capsys.readouterr().err
        with pytest.raises(Interrupted):
            progress("write", 2, 2)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_a_terminal_no_bar_is_drawn(capsys):
    with show_progress() as progress:
        progress("write", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_no_writes_nothing(monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: False)
    with pytest.raises(Declined, match="Nothing was written"):
        confirm("Write?", assume_yes=False)


def test_a_column_without_any_value_is_left_out(capsys):
    print_table("", ("id", "text", "rank"), [(1, None, 2), (3, "", 4)])
    header, _, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["id", "┃", "rank"]
    assert [line.split() for line in lines] == [["1", "│", "2"], ["3", "│", "4"]]
