"""`feedback import`: options that go together, and where rejected rows are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import invoke
from tests.support.workspace import Workspace


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "name a file, or --qrels or --beir"),
        (("--qrels", "x"), "--qrels needs --query-vectors and --query-ids"),
        (("--beir", "x"), "--beir and folders need those, or --embed"),
        (("--qrels", "x", "--beir", "y"), "do not go together"),
        (("x", "--query-ids", "y"), "--query-vectors and --query-ids go together"),
        (("x", "--query-vectors", "y"), "--query-vectors and --query-ids go together"),
        (("absent.jsonl",), "absent.jsonl: "),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(
    words, expected, untouched_workspace: Workspace
):
    done = invoke("feedback", "import", *words, "-c", str(untouched_workspace.config_path))
    assert (done.exit_code, done.stdout) == (2, "")
    assert expected in done.stderr


def test_bad_rows_are_drawn_and_kept_beside_the_file(
    untouched_workspace: Workspace, tmp_path: Path
):
    workspace = untouched_workspace.copy_to(tmp_path / "copy")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"query_id": "q1"}\n{}\n', encoding="utf-8")
    done = invoke("feedback", "import", str(rows), "--config", str(workspace.config_path))
    assert done.exit_code == 1
    assert "no event was stored (2 rows read, 0 searches, 2 refused)" in done.stderr
    assert "rejected       │ 2" in done.stdout
    assert "query_id" in done.stdout
    assert "refused rows are in" in done.stdout
    assert (tmp_path / "rows.jsonl.rejects.jsonl").exists()


def test_strictly_the_report_is_shown_before_the_error(
    untouched_workspace: Workspace, tmp_path: Path
):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n", encoding="utf-8")
    result = untouched_workspace.run("feedback", "import", str(rows), "--strict", code=2)
    assert (result["rejected"], result["accepted"]) == (1, 0)
    assert result["error"]


def test_rejects_go_beside_the_file_that_each_is_from(
    untouched_workspace: Workspace, tmp_path: Path
):
    workspace = untouched_workspace.copy_to(tmp_path / "copy")
    paths = [tmp_path / "a.jsonl", tmp_path / "b.csv"]
    paths[0].write_text("{\n", encoding="utf-8")
    paths[1].write_text("query_id,action,point\nq1,click,\n", encoding="utf-8")
    words = ("feedback", "import", *map(str, paths))
    rejects = workspace.run(*words, code=1)["rejects_files"]
    assert rejects == [f"{path}.rejects.jsonl" for path in paths]
    [entry] = map(json.loads, Path(rejects[1]).read_text(encoding="utf-8").splitlines())
    assert (entry["source"], entry["detail"]) == (str(paths[1]), "point")
    [together] = workspace.run(*words, "--rejects", str(tmp_path / "all"), code=1)["rejects_files"]
    assert len(Path(together).read_text(encoding="utf-8").splitlines()) == 2


def test_searches_alone_are_no_feedback_unless_that_is_meant(
    untouched_workspace: Workspace, tmp_path: Path
):
    workspace = untouched_workspace.copy_to(tmp_path / "copy")
    path = tmp_path / "searches.jsonl"
    vector = workspace.data.queries[0].tolist()
    path.write_text(json.dumps({"query_id": "q1", "query_vector": vector}), encoding="utf-8")
    assert (
        "nothing was imported: no event"
        in workspace.run("feedback", "import", str(path), "--strict", code=2)["error"]["message"]
    )
    assert workspace.run("feedback", "stats")["searches"] == 0
    done = workspace.run("feedback", "import", str(path), code=1)
    failure = done["error"]
    assert (done["searches"], failure["message"][:19]) == (1, "no event was stored")
    assert (failure["cause"], failure["exit_code"]) == ("NoFeedback", 1)
    done = workspace.run("feedback", "import", str(path), "--only-searches")
    assert (done["unchanged"], "error" in done) == (1, False)


def test_what_is_stored_and_looks_wrong_is_said(untouched_workspace: Workspace, tmp_path: Path):
    workspace = untouched_workspace.copy_to(tmp_path / "copy")
    path = tmp_path / "clicks.jsonl"
    vector = workspace.data.queries[0].tolist()
    rows = [
        {"query_id": "q1", "query_vector": vector, "shown": [1, 2, 3]},
        {"query_id": "q1", "action": "click", "point": 3, "position": 2},
        {"query_id": "q1", "action": "click", "point": 2, "position": 1},
        {"query_id": "q1", "action": "click", "point": 1, "position": 2},
        {"query_id": "q1", "action": "click", "point": 9},
        {"query_id": "q1", "action": "wink", "point": 3},
        {"query_id": "q1", "action": "on_search"},
        {"query_id": "q1", "action": "impression", "point": 3},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = invoke("feedback", "import", str(path), "-c", str(workspace.config_path))
    assert done.exit_code == 0, done.stderr
    for text in (
        "was read as JSON lines",
        "its positions count from 0",
        "1 rows were left out: not about a point",
        '1 events are "wink", which has no weight in [feedback.actions]',
        '1 events are "impression", which has no weight in [feedback.actions]; what a search',
        f"1 events are on a point that their search did not show: {path}:5",
        f"1 events have another position than their point has in what the search showed: {path}:4",
    ):
        assert text in done.stdout.replace("\n", " "), (text, done.stdout)


def test_refused_rows_are_listed_in_short(untouched_workspace: Workspace, tmp_path: Path):
    workspace = untouched_workspace.copy_to(tmp_path / "copy")
    path = tmp_path / "rows.jsonl"
    path.write_text("nonsense\n" * 30, encoding="utf-8")
    done = invoke("feedback", "import", str(path), "-c", str(workspace.config_path))
    text = " ".join(done.stdout.replace("│", " ").split())
    assert "rows.jsonl:1, 2, 3, 4, 5 and 25 more" in text
    assert len((tmp_path / "rows.jsonl.rejects.jsonl").read_text().splitlines()) == 30
