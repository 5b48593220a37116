"""`feedback import`: options that go together, and where rejected rows are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from nudge_sync.cli.verbs.feedback.import_ import _choose_rejects_path
from tests.support.command_line import invoke
from tests.support.workspace import Workspace


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "name a file, or --qrels or --beir"),
        (("--qrels", "x"), "--qrels needs --query-vectors and --query-ids"),
        (("--beir", "x"), "--beir them, or --embed"),
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
    assert (done.exit_code, done.stdout, expected in done.stderr) == (2, "", True)


def test_bad_rows_are_drawn_and_kept_beside_the_file(
    untouched_workspace: Workspace, tmp_path: Path
):
    workspace = untouched_workspace.copy_to(tmp_path / "copy")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"query_id": "q1"}\n{}\n', encoding="utf-8")
    done = invoke("feedback", "import", str(rows), "--config", str(workspace.config_path))
    assert done.exit_code == 0
    assert "rejected       │ 2" in done.stdout
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


def test_rejects_go_beside_what_is_read_first(tmp_path: Path):
    first, second = tmp_path / "a.jsonl", Path("b.jsonl")
    assert _choose_rejects_path([first, second], None, None) == tmp_path / "a.jsonl.rejects.jsonl"
    assert _choose_rejects_path([], second, None) == Path("b.jsonl.rejects.jsonl")
    assert _choose_rejects_path([], None, tmp_path) == tmp_path / "qrels.rejects.jsonl"
