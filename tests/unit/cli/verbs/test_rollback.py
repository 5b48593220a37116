"""`rollback`: what can be brought back."""

from __future__ import annotations

from tests.support.command_line import invoke, write_config
from tests.support.workspace import Workspace


def test_one_state_can_be_brought_back(tmp_path):
    path = str(write_config(tmp_path))
    done = invoke("rollback", "--to", "1", "--originals", "--yes", "--config", path)
    assert (done.exit_code, "not both" in done.stderr) == (2, True)


def test_where_nothing_was_written_nothing_comes_back(untouched_workspace: Workspace):
    result = untouched_workspace.run("rollback", "--originals", "--yes")
    assert (result["revision"], result["restored"]) == (None, 0)


def test_a_revision_that_there_is_not_is_refused(untouched_workspace: Workspace):
    assert "revision 7" in untouched_workspace.run("rollback", "--to", "7", "--yes", code=2)
