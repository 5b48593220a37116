"""The verbs on feedback, from the command line: what they print, and what is gone afterwards."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.workspace import make_workspace


def test_judgements_and_forget(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    rows = [json.loads(line) for line in workspace.feedback_path.read_text().splitlines()]
    rows = [row | {"client": "c1"} for row in rows]
    workspace.feedback_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    workspace.run("feedback", "import", str(workspace.feedback_path))
    event = next(row for row in rows if "action" in row)
    found = workspace.run("feedback", "judgements", "--point", str(event["point"]))["judgements"]
    assert event["query_id"] in {reason["query_id"] for reason in found}
    assert all(reason["source"] == "label" for reason in found)

    gone = workspace.run("forget", "--client", "c1", "--yes")
    assert gone["searches"] + gone["events"] == len(rows)
    stats = workspace.run("feedback", "stats")
    assert (stats["searches"], stats["events"], stats["judged"]) == (0, 0, 0)


def test_what_models_judge_is_compared_and_moves_nothing(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    workspace.run("feedback", "import", str(workspace.feedback_path))
    before = workspace.run("feedback", "stats")
    assert before["agreement"] is None
    rows = [json.loads(line) for line in workspace.feedback_path.read_text().splitlines()]
    labels = [row for row in rows if row.get("action") == "relevant"][:30]
    judged = [
        {**row, "action": "machine_relevant", "grade": float(number % 3 > 0)}
        for number, row in enumerate(labels)
    ]
    path = tmp_path / "models.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in judged))
    # Without a weight these bring no feedback, which is said.
    workspace.run("feedback", "import", str(path), code=1)
    stats = workspace.run("feedback", "stats")
    assert stats["agreement"]["both_relevant"] == 20
    assert stats["agreement"]["only_people"] == 10
    assert stats["judgements"] == before["judgements"]
    out, _ = workspace.start_process("feedback", "stats").communicate()
    assert "models beside people" in out


def test_nothing_but_the_result_is_printed_where_nobody_watches(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    words = ("feedback", "import", str(workspace.feedback_path), "--json")
    out, said = workspace.start_process(*words).communicate()
    assert (json.loads(out)["accepted"], said) == (1800, "")
    out, said = workspace.start_process("feedback", "stats").communicate()
    assert said == ""
    blank, last = out.splitlines()[-2:]
    assert (blank, last[:18]) == ("", "40 of 400 points (")
