"""`resume` where nothing is unfinished."""

from __future__ import annotations

from tests.support.workspace import Workspace


def test_where_nothing_is_unfinished_nothing_is_done(untouched_workspace: Workspace):
    assert untouched_workspace.run("resume") == {"collection": "docs", "resumed": False}
