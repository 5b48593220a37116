"""Every verb on an embedded engine, as an operator would go through them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from nudge_sync.cli.app import app
from nudge_sync_qdrant_edge import connect
from tests.support.sample_collection import JUDGED_POINTS, POINTS
from tests.support.timeouts import TIMEOUT_SECONDS
from tests.support.workspace import Workspace, make_workspace

PLAN = {"method", "parameters", "judged", "moved", "before", "after", "gate"}
APPLY = PLAN | {"revision", "written", "drifted", "missing"}
COUNTS = {"drifted", "missing"}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return make_workspace(tmp_path)


@pytest.fixture(scope="module")
def shared_workspace(tmp_path_factory) -> Workspace:
    shop = make_workspace(tmp_path_factory.mktemp("shop"))
    shop.run("feedback", "import", str(shop.feedback_path))
    return shop


@pytest.fixture
def workspace_with_feedback(shared_workspace: Workspace, tmp_path) -> Workspace:
    return shared_workspace.copy_to(tmp_path / "copy")


def test_the_operators_whole_story(workspace: Workspace):
    original = workspace.read_vectors()
    fresh = workspace.run("check")
    assert (fresh["ok"], fresh["problems"]) == (True, [])
    assert any("0 searches logged" in note for note in fresh["notes"])

    imported = workspace.run("feedback", "import", str(workspace.feedback_path))
    assert {"accepted", "rejected", "reasons"} <= imported.keys()
    assert (imported["accepted"], imported["rejected"]) == (1800, 0)
    assert workspace.run("feedback", "stats")["judged"] == JUDGED_POINTS
    checked = workspace.run("check")
    assert checked["collections"]["docs"]["feedback"]["queries"] == 900
    evidence = {"judged": JUDGED_POINTS, "points": POINTS, "coverage": JUDGED_POINTS / POINTS}
    assert checked["collections"]["docs"]["evidence"] == evidence
    share = (
        f"{JUDGED_POINTS} of {POINTS} points (10.0%) have evidence; the others are left as they are"
    )
    smallest = (
        "170 held-out queries can show a mean gain of about 3.0 points or more; a smaller one is "
        "refused until there are more"
    )
    assert checked["notes"] == [f"docs: {share}", f"docs: {smallest}"]

    planned = workspace.run("plan")
    assert planned.keys() >= PLAN
    assert planned["gate"]["passed"]
    assert planned["after"]["ndcg@10"] > planned["before"]["ndcg@10"]
    assert workspace.read_vectors().tobytes() == original.tobytes()
    assert workspace.run("log") == []

    applied = workspace.run("apply", "--yes")
    assert applied.keys() >= APPLY
    assert (applied["revision"], applied["written"], applied["moved"]) == (
        1,
        JUDGED_POINTS,
        JUDGED_POINTS,
    )
    assert workspace.run("apply", "--yes")["moved"] == 0

    assert [entry["revision"] for entry in workspace.run("log")] == [1]
    assert workspace.run("show", "1")["state"] == "applied"
    found = workspace.run("verify")
    assert found.keys() >= {"points", "as_written", "original"} | COUNTS
    assert (found["points"], found["as_written"]) == (JUDGED_POINTS, JUDGED_POINTS)

    back = workspace.run("rollback", "--yes")
    assert back.keys() >= {"restored", "identical"} | COUNTS
    assert (back["restored"], back["identical"]) == (JUDGED_POINTS, JUDGED_POINTS)
    assert workspace.read_vectors().tobytes() == original.tobytes()
    assert workspace.run("verify")["original"] == JUDGED_POINTS
    assert workspace.run("resume") == {"collection": "docs", "resumed": False}
    assert workspace.run("unlock")["held_by"] is None
    assert workspace.run("gc")["collection"] == "docs"
    assert workspace.run("check")["collections"]["docs"]["unfinished"] == []


def test_a_kept_plan_is_carried_out_once(workspace_with_feedback: Workspace):
    path = workspace_with_feedback.folder / "plan"
    planned = workspace_with_feedback.run("plan", "--out", str(path))
    applied = workspace_with_feedback.run("apply", "--plan", str(path), "--yes")
    assert (applied["written"], applied["after"]) == (JUDGED_POINTS, planned["after"])
    stale = workspace_with_feedback.run("apply", "--plan", str(path), "--yes", code=1)
    assert "plan again" in stale
    path.write_bytes(path.read_bytes()[:100])
    assert "Traceback" not in workspace_with_feedback.run(
        "apply", "--plan", str(path), "--yes", code=2
    )


def test_a_kept_plan_without_points_is_no_mistake(workspace_with_feedback: Workspace):
    path = workspace_with_feedback.folder / "plan"
    workspace_with_feedback.write_config(min_queries=5000)
    refused_plan = workspace_with_feedback.run("plan", "--out", str(path))
    refused = workspace_with_feedback.run("apply", "--plan", str(path), "--yes", code=3)
    assert refused["gate"]["reasons"] == refused_plan["gate"]["reasons"]
    workspace_with_feedback.write_config()
    workspace_with_feedback.run("apply", "--yes")
    workspace_with_feedback.run("plan", "--out", str(path))
    applied = workspace_with_feedback.run("apply", "--plan", str(path), "--yes")
    assert (applied["revision"], applied["written"]) == (None, 0)


def test_rollback_to_a_revision_and_to_one_that_is_not_there(workspace_with_feedback: Workspace):
    workspace_with_feedback.run("apply", "--yes")
    first = workspace_with_feedback.read_vectors()
    workspace_with_feedback.run("rollback", "--originals", "--yes")
    assert (
        workspace_with_feedback.run("rollback", "--to", "1", "--yes")["restored"] == JUDGED_POINTS
    )
    assert workspace_with_feedback.read_vectors().tobytes() == first.tobytes()
    assert "revision 99" in workspace_with_feedback.run("rollback", "--to", "99", "--yes", code=2)
    assert "revision 99" in workspace_with_feedback.run("show", "99", code=2)


def test_what_the_gate_refuses_is_shown_and_exits_with_3(workspace_with_feedback: Workspace):
    workspace_with_feedback.write_config(min_queries=5000)
    before = workspace_with_feedback.read_vectors()
    assert not workspace_with_feedback.run("plan")["gate"]["passed"]
    refused = workspace_with_feedback.run("apply", "--yes", code=3)
    assert "only" in refused["gate"]["reasons"][0]
    assert "error" in refused
    assert workspace_with_feedback.read_vectors().tobytes() == before.tobytes()


def test_all_goes_on_after_a_collection_that_fails(workspace_with_feedback: Workspace):
    workspace_with_feedback.write_config("[collections.absent]")
    result = workspace_with_feedback.run("apply", "--all", "--yes", code=1)
    assert [entry["collection"] for entry in result] == ["docs", "absent"]
    assert (result[0]["written"], "error" in result[1]) == (JUDGED_POINTS, True)
    found = workspace_with_feedback.run("check", code=1)
    assert not found["ok"]
    assert "absent" in found["problems"][0]


@pytest.mark.parametrize(
    "words",
    [
        ("check",),
        ("feedback", "stats"),
        ("plan",),
        ("apply", "--yes"),
        ("log",),
        ("show", "1"),
        ("verify",),
        ("rollback", "--yes"),
        ("release",),
        ("resume",),
        ("unlock",),
        ("gc",),
    ],
    ids=" ".join,
)
def test_people_get_a_readable_answer(words, shared_workspace: Workspace, monkeypatch):
    monkeypatch.setenv("NUDGE_SYNC_CONFIG", str(shared_workspace.config_path))
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip()
    assert not done.stdout.lstrip().startswith(("{", "["))


def test_at_a_terminal_it_asks(workspace_with_feedback: Workspace):
    before = workspace_with_feedback.read_vectors()
    code, said = _run_at_a_terminal(workspace_with_feedback, "apply", answer="n")
    assert (code, "Write?" in said, "Nothing was written" in said) == (1, True, True), said
    assert workspace_with_feedback.read_vectors().tobytes() == before.tobytes()
    assert _run_at_a_terminal(workspace_with_feedback, "apply", answer="y")[0] == 0
    assert workspace_with_feedback.read_vectors().tobytes() != before.tobytes()


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ((), "before the last revision"),
        (("--to", "1"), "revision 1"),
        (("--to", "0"), "the originals"),
        (("--originals",), "the originals"),
    ],
)
def test_a_rollback_asks_about_what_it_then_does(words, state, workspace: Workspace):
    workspace.run("feedback", "import", str(workspace.feedback_path))
    states = {"the originals": workspace.read_vectors().tobytes()}
    workspace.run("apply", "--yes")
    states["revision 1"] = workspace.read_vectors().tobytes()
    states["before the last revision"] = states["the originals"]
    code, said = _run_at_a_terminal(workspace, "rollback", *words, answer="y")
    assert (code, f"Write the vectors of 'docs' back to {state}?" in said) == (0, True), said
    assert ("The last revision is 1." in said) == (not words)
    assert workspace.read_vectors().tobytes() == states[state]
    hold = workspace.run("check")["collections"]["docs"]["hold"]
    assert hold["reason"] == f"rolled back to {state}"


def _run_at_a_terminal(workspace: Workspace, *words: str, answer: str) -> tuple[int, str]:
    near, far = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "nudge_sync", *words],
        stdin=far,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "NUDGE_SYNC_CONFIG": str(workspace.config_path)},
    )
    os.write(near, f"{answer}\n".encode())
    said = child.communicate(timeout=TIMEOUT_SECONDS)[0].decode()
    os.close(near)
    os.close(far)
    return child.returncode, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_between_batches_and_resume_finishes(
    number, workspace_with_feedback: Workspace
):
    workspace_with_feedback.write_config("rate = 4.0")
    child = workspace_with_feedback.start_process("apply", "--yes", "--json", FORCE_COLOR="1")
    # Told that it is a terminal, it draws its bars into the pipe: one batch has been written.
    said = ""
    while "write" not in said:
        more = child.stderr.read(1)
        assert more, said
        said += more
    child.send_signal(number)
    out, err = child.communicate(timeout=TIMEOUT_SECONDS)
    assert child.returncode == 130, err
    assert json.loads(out)["error"]["cause"] == "Interrupted"
    assert "Traceback" not in err
    assert workspace_with_feedback.run("verify", code=1)["pending"] == 1
    workspace_with_feedback.write_config()
    assert workspace_with_feedback.run("resume")["resumed"]
    assert workspace_with_feedback.run("verify")["as_written"] == JUDGED_POINTS


def test_an_embedded_database_in_use_is_a_message(workspace_with_feedback: Workspace):
    database = connect({"path": str(workspace_with_feedback.folder / "shards")})
    database.collection("docs").describe()
    try:
        child = workspace_with_feedback.start_process("check")
        out, err = child.communicate(timeout=TIMEOUT_SECONDS)
    finally:
        database.close()
    assert child.returncode == 1
    assert "Traceback" not in out + err


def test_json_is_one_document_and_nothing_else(workspace_with_feedback: Workspace):
    child = workspace_with_feedback.start_process("plan", "--json")
    out, _ = child.communicate(timeout=TIMEOUT_SECONDS)
    assert json.loads(out)["collection"] == "docs"
    assert len(json.loads(out)["before"]) >= 3
    assert POINTS >= json.loads(out)["moved"] > 0
