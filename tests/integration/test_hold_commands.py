"""The verbs around a hold: what they print, and that command line and daemon keep to it."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nudge_sync.cli.app import app
from tests.support.timeouts import TIMEOUT_SECONDS
from tests.support.workspace import Workspace, make_workspace, wait_for_line


@pytest.fixture(scope="module")
def shared_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Make a workspace with one revision."""
    workspace = make_workspace(tmp_path_factory.mktemp("shop") / "shop")
    workspace.run("feedback", "import", str(workspace.feedback_path))
    workspace.run("apply", "--yes")
    return workspace


@pytest.fixture
def workspace(shared_workspace: Workspace, tmp_path: Path) -> Workspace:
    return shared_workspace.copy_to(tmp_path / "copy")


def say(workspace: Workspace, *words: str) -> tuple[int, str]:
    """Run a verb for people, and return its exit code and what is on stderr."""
    variables = {"NUDGE_SYNC_CONFIG": str(workspace.config_path)}
    done = CliRunner().invoke(app, list(words), env=variables)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.stderr


def test_a_rollback_holds_until_it_is_released(workspace: Workspace) -> None:
    nudged = workspace.read_vectors().tobytes()
    back = workspace.run("rollback", "--yes", "--reason", "worse", "--by", "anna")
    assert (back["hold"]["by"], back["hold"]["reason"]) == ("anna", "worse")
    originals = workspace.read_vectors().tobytes()
    for words in (["apply", "--yes"], ["apply"]):
        code, said = say(workspace, *words)
        # Without --yes and without a terminal nothing is even asked.
        assert code == (3 if "--yes" in words else 2)
        assert ("is on hold by anna since 20" in said) == ("--yes" in words)
    assert workspace.read_vectors().tobytes() == originals
    planned = workspace.run("plan")
    assert planned["gate"]["passed"]
    assert planned["hold"] == back["hold"]
    checked = workspace.run("check")
    assert checked["collections"]["docs"]["hold"] == back["hold"]
    assert any("is on hold by anna" in note for note in checked["notes"])
    code, said = say(workspace, "forget", "--client", "nobody", "--yes")
    assert (code, "on hold by anna" in said) == (0, True)

    released = workspace.run("release")
    assert (released["released"], released["hold"]) == (True, back["hold"])
    assert workspace.run("release") == {"collection": "docs", "released": False, "hold": None}
    assert workspace.run("plan")["hold"] is None
    assert workspace.run("apply", "--yes")["written"] > 0
    assert workspace.read_vectors().tobytes() == nudged


def test_apply_can_release_and_the_default_says_user_and_machine(workspace: Workspace) -> None:
    placed = workspace.run("hold")
    assert placed["hold"]["reason"] == ""
    assert re.fullmatch(r".+@.+", placed["hold"]["by"])
    assert placed["at_work"] is None
    assert say(workspace, "apply", "--yes")[0] == 3
    assert say(workspace, "apply", "--yes", "--release")[0] == 0
    assert say(workspace, "apply", "--yes")[0] == 0


def test_the_daemon_says_so_and_writes_nothing(workspace: Workspace) -> None:
    workspace.run("rollback", "--yes", "--by", "anna")
    originals = workspace.read_vectors().tobytes()
    workspace.write_config('[schedule]\nevery = "1h"')
    with workspace.start_daemon("--now") as (child, _):
        line = wait_for_line(child, "on hold, nothing written")
        assert "is on hold by anna since 20" in line
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=TIMEOUT_SECONDS)
        assert child.returncode == 0
    assert workspace.read_vectors().tobytes() == originals
    assert [entry["kind"] for entry in workspace.run("log")] == ["apply", "rollback"]
