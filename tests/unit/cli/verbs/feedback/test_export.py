"""`feedback export`: whose feedback, one JSON line a row."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command_line import invoke
from tests.support.workspace import Workspace


def test_whose_feedback_has_to_be_said(untouched_workspace: Workspace):
    done = invoke("feedback", "export", "-c", str(untouched_workspace.config_path))
    assert (done.exit_code, "name one client" in done.stderr) == (2, True)


def test_each_row_is_a_line_of_json(untouched_workspace: Workspace, tmp_path: Path):
    workspace = untouched_workspace.copy_to(tmp_path / "copy")
    vector = workspace.data.queries[0].tolist()
    rows = [
        {"query_id": "q1", "query_vector": vector, "client": "c1"},
        {"query_id": "q1", "action": "relevant", "point": 3, "client": "c1"},
        {"query_id": "q2", "query_vector": vector, "client": "c2"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    workspace.run("feedback", "import", str(path))
    done = invoke("feedback", "export", "--client", "c1", "-c", str(workspace.config_path))
    exported = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["type"], row["query_id"]) for row in exported] == [
        ("search", "q1"),
        ("event", "q1"),
    ]
    assert exported[1]["object_id"] == 3
