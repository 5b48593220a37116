"""`log`: all revisions, for people and as JSON."""

from __future__ import annotations

from nudge_sync.cli.verbs.log import _print_log
from tests.support.workspace import Workspace


def test_of_an_untouched_collection_it_is_empty(untouched_workspace: Workspace):
    assert untouched_workspace.run("log") == []


def test_people_read_dates_and_no_numbers_of_milliseconds(capsys):
    entry = {"revision": 1, "kind": "apply", "state": "applied", "planned_at": 1_777_600_000_000}
    _print_log([entry])
    header, _, line = capsys.readouterr().out.splitlines()
    assert header.split()[::2] == [
        *("revision", "kind", "state", "parent", "method", "cold", "written", "planned_at")
    ]
    assert line.split("│")[-1].strip() == "2026-05-01T01:46:40+00:00"


def test_people_read_what_cold_answers_lost(capsys):
    entry = {"revision": 1, "kind": "apply", "state": "applied"}
    plan = {"method": "nudge-h", "cold": {"share": 0.5, "cold": {"mean": -0.0042}}}
    broken = [{"cold": value} for value in (None, 3, [], {"cold": None}, {"cold": {"mean": "x"}})]
    _print_log([{**entry, "plan": value} for value in (plan, {}, *broken)])
    _, _, told, *untold = capsys.readouterr().out.splitlines()
    assert [cell.strip() for cell in told.split("│")[4:6]] == ["nudge-h", "-0.0042"]
    assert {line.split("│")[5].strip() for line in untold} == {""}
