"""`feedback judgements` of points that have none."""

from __future__ import annotations

from tests.support.workspace import Workspace


def test_a_point_that_nobody_judged_has_no_judgements(untouched_workspace: Workspace):
    result = untouched_workspace.run("feedback", "judgements", "--point", "7")
    assert result == {"collection": "docs", "point": 7, "judgements": []}


def test_a_point_that_there_is_not_is_an_error(untouched_workspace: Workspace):
    said = untouched_workspace.run("feedback", "judgements", "--point", "9999", code=2)
    assert "there is no point '9999' in 'docs'" in said
