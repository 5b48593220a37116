"""`explain`: the tables about one point."""

from __future__ import annotations

import math

from nudge_sync.cli.verbs.explain import _print_explanation
from tests.support.workspace import Workspace


def make_query(number: int, before: int | None, after: int | None) -> dict[str, object]:
    return {
        "query_id": f"q{number}",
        "text": "",
        "relevant": number == 0,
        "before": before,
        "after": after,
    }


def make_result(**fields: object) -> dict[str, object]:
    return {
        "collection": "docs",
        "point": 7,
        "standing": "written",
        "angle": math.pi / 6,
        "moved": True,
        "judged_by": 3,
        "held_out": 1,
        "queries": 9,
        "depth": 10,
        "pulls": [],
        "asked_by": [],
        "wins": [],
        "loses": [],
        **fields,
    }


def test_how_far_the_point_went_and_who_judged_it(capsys):
    _print_explanation(make_result(), limit=10)
    out = capsys.readouterr().out
    assert out.startswith("docs: point 7 (written) turned by 30.0 degrees\njudged by 3 queries")
    assert "Pulled by: none" in out
    assert "Asked for by" not in out
    assert "Loses: queries whose first 10 results it left: none" in out


def test_each_table_has_as_many_rows_as_asked_for(capsys):
    queries = [make_query(number, None, number + 1) for number in range(5)]
    _print_explanation(make_result(wins=queries), limit=2)
    out = capsys.readouterr().out
    lines = [line.split("│") for line in out.splitlines() if line.startswith("q") and "│" in line]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["q0", "yes", "-", "1"],
        ["q1", "no", "-", "2"],
    ]
    assert "Wins: queries whose first 10 results it entered\n" in out
    assert "and 3 more" in out


def test_points_that_asked_for_it_are_listed_with_their_shares(capsys):
    asking = [{"point": 3, "share": 0.75}, {"point": 5, "share": 0.25}]
    _print_explanation(make_result(asked_by=asking), limit=1)
    out = capsys.readouterr().out
    table = out[out.index("Asked for by points that answer queries together with it") :]
    assert "75.0%" in table
    assert "25.0%" not in table
    assert "and 1 more" in table


def test_a_point_that_there_is_not_is_an_error(untouched_workspace: Workspace):
    assert "has no point '9999'" in untouched_workspace.run("explain", "9999", code=2)
