"""`log`: all revisions, for people and as JSON."""

from __future__ import annotations

from nudge_sync.cli.verbs.log import _print_log
from tests.support.workspace import Workspace


def test_of_an_untouched_collection_it_is_empty(untouched_workspace: Workspace):
    assert untouched_workspace.run("log") == []


def test_people_read_that_there_is_nothing_yet(capsys):
    _print_log([])
    assert capsys.readouterr().out == "no revision yet: `nudge-sync apply` makes the first\n"


def test_people_read_dates_and_no_numbers_of_milliseconds(capsys):
    plan = {"method": "nudge-n", "cold": {"cold": {"mean": 0.25}}}
    entry = {"revision": 1, "kind": "apply", "state": "applied", "planned_at": 1_777_600_000_000}
    _print_log([{**entry, "plan": plan, "written": 3}])
    header, _, line = capsys.readouterr().out.splitlines()
    assert [name.strip() for name in header.split("┃")] == [
        *("revision", "kind", "state", "method", "cold", "written", "planned, UTC")
    ]
    assert line.split("│")[-1].strip() == "2026-05-01 01:46"


def test_people_read_what_cold_answers_lost(capsys):
    entry = {"revision": 1, "kind": "apply", "state": "applied"}
    plan = {"method": "nudge-h", "cold": {"share": 0.5, "cold": {"mean": -0.0042}}}
    broken = [{"cold": value} for value in (None, 3, [], {"cold": None}, {"cold": {"mean": "x"}})]
    _print_log([{**entry, "plan": value} for value in (plan, {}, *broken)])
    _, _, told, *untold = capsys.readouterr().out.splitlines()
    assert [cell.strip() for cell in told.split("│")[3:5]] == ["nudge-h", "-0.0042"]
    assert {line.split("│")[4].strip() for line in untold} == {""}
