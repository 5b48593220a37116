"""`show` of a revision that does not exist."""

from __future__ import annotations

from tests.support.workspace import Workspace


def test_a_revision_that_there_is_not_is_an_error_that_names_the_latest(
    untouched_workspace: Workspace,
):
    said = untouched_workspace.run("show", "3", code=2)
    assert said == "nudge-sync: there is no revision 3; the latest are: none yet\n"
