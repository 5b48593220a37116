"""`gc` on a collection that was never written to."""

from __future__ import annotations

from tests.support.workspace import Workspace


def test_an_untouched_collection_has_nothing_to_drop(untouched_workspace: Workspace):
    assert untouched_workspace.run("gc") == {"collection": "docs", "removed": 0}
    assert untouched_workspace.run("gc", "--all") == [{"collection": "docs", "removed": 0}]
