"""`plan`: its file, and its exit code where the gate refuses."""

from __future__ import annotations

from tests.support.command_line import invoke, write_config
from tests.support.workspace import Workspace


def test_a_file_holds_the_plan_of_one_collection(tmp_path):
    path = str(write_config(tmp_path))
    done = invoke("plan", "--all", "--out", str(tmp_path / "plan"), "--config", path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "not --all" in done.stderr
    assert not (tmp_path / "shards").exists()


def test_a_plan_that_the_gate_refuses_is_no_failure(untouched_workspace: Workspace, tmp_path):
    path = tmp_path / "plan"
    result = untouched_workspace.run("plan", "--out", str(path))
    assert (result["collection"], result["moved"], result["gate"]["passed"]) == ("docs", 0, False)
    assert path.exists()
