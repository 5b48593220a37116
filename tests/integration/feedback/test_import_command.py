"""The command that imports feedback, on files, pipes and options."""

import csv
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from nudge_sync.cli.app import app
from tests.support.workspace import Workspace, make_workspace


def convert_to_csv(workspace: Workspace, folder: Path) -> list[str]:
    """Write the shop's events as CSV and its query vectors as an array; return the arguments."""
    rows = [json.loads(line) for line in workspace.feedback_path.read_text().splitlines()]
    searches = [row for row in rows if "query_vector" in row]
    np.save(folder / "q.npy", np.array([row["query_vector"] for row in searches]))
    (folder / "q.txt").write_text("".join(f"{row['query_id']}\n" for row in searches))
    with (folder / "events.csv").open("w", newline="") as file:
        table = csv.DictWriter(
            file, ["query_id", "point", "action", "grade"], extrasaction="ignore"
        )
        table.writeheader()
        table.writerows(row for row in rows if "action" in row)
    files = ["--query-vectors", str(folder / "q.npy"), "--query-ids", str(folder / "q.txt")]
    return [str(folder / "events.csv"), *files]


def get_counts(imported: dict) -> list[int]:
    names = ("accepted", "searches", "events", "unchanged", "rejected", "without_search")
    return [imported[name] for name in names]


def test_csv_with_vectors_is_judged_as_json_lines_are(tmp_path):
    plain, other = make_workspace(tmp_path / "plain"), make_workspace(tmp_path / "csv")
    expected = plain.run("feedback", "import", str(plain.feedback_path))
    options = convert_to_csv(other, tmp_path)
    imported = other.run("feedback", "import", *options)
    assert get_counts(imported) == get_counts(expected)
    assert other.run("feedback", "import", *options)["unchanged"] == imported["accepted"]
    stats = [workspace.run("feedback", "stats") for workspace in (plain, other)]
    assert stats[0]["judged"] == stats[1]["judged"]
    assert stats[0]["judgements"] == stats[1]["judgements"]


EMBED = """import numpy as np

rows = dict(zip(*np.load("texts.npz").values()))


def queries(texts):
    return np.array([rows[text] for text in texts])
"""


def test_ubi_logs_are_embedded_by_a_function_of_ones_own(tmp_path, monkeypatch):
    plain, other = make_workspace(tmp_path / "plain"), make_workspace(tmp_path / "ubi")
    rows = [json.loads(line) for line in plain.feedback_path.read_text().splitlines()]
    searches = [row for row in rows if "query_vector" in row]
    texts = [f"question {row['query_id']}" for row in searches]
    vectors = [row["query_vector"] for row in searches]
    np.savez(tmp_path / "texts.npz", np.array(texts), np.array(vectors))
    (tmp_path / "own_model.py").write_text(EMBED)
    ubi = tmp_path / "ubi.jsonl"
    texts_by_search = zip(searches, texts, strict=True)
    lines = [{"query_id": row["query_id"], "user_query": text} for row, text in texts_by_search]
    lines += [
        {
            "query_id": row["query_id"],
            "action_name": row["action"],
            "event_attributes": {"object": {"object_id": str(row["point"])}},
        }
        for row in rows
        if "action" in row
    ]
    ubi.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    expected = plain.run("feedback", "import", str(plain.feedback_path))
    imported = other.run("feedback", "import", str(ubi), "--embed", "own_model:queries")
    assert get_counts(imported) == get_counts(expected)
    stats = [workspace.run("feedback", "stats")["judgements"] for workspace in (plain, other)]
    assert stats[0] == stats[1] > 0
    message = other.run("feedback", "import", str(ubi), "--embed", "own_model:absent", code=2)
    assert "own_model:absent" in message


def pipe_text(text: str) -> int:
    """Return a pipe to read `text` from, whose other end is closed."""
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    return reader


def test_a_pipe_is_stored_and_its_bad_rows_are_put_here(tmp_path, monkeypatch):
    workspace = make_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    lines = workspace.feedback_path.read_text().splitlines()[:4]
    pipe = pipe_text("\n".join([*lines, "{"]))
    imported = workspace.run("feedback", "import", f"/dev/fd/{pipe}")
    os.close(pipe)
    assert (imported["accepted"], imported["rejected"]) == (4, 1)
    assert json.loads((tmp_path / imported["rejects_file"]).read_text())["raw"] == "{"
    assert "save it to a file first" in import_strictly(workspace, lines)
    assert workspace.run("feedback", "stats")["searches"] == 2


def import_strictly(workspace: Workspace, lines: list[str]) -> str:
    pipe = pipe_text("\n".join(lines))
    message = workspace.run("feedback", "import", "--strict", f"/dev/fd/{pipe}", code=2)
    os.close(pipe)
    return message


def test_what_was_refused_is_not_read_while_it_is_written(tmp_path):
    workspace = make_workspace(tmp_path)
    path = tmp_path / "a.jsonl"
    path.write_text("{\n")
    rejects = Path(workspace.run("feedback", "import", str(path), code=1)["rejects_file"])
    before = rejects.read_bytes()
    message = workspace.run("feedback", "import", str(path), str(rejects), code=2)
    assert "--rejects" in message
    message = workspace.run("feedback", "import", str(path), "--rejects", str(path), code=2)
    assert "--rejects" in message
    assert (path.read_text(), rejects.read_bytes()) == ("{\n", before)


def test_query_ids_are_not_overwritten_with_refused_rows(tmp_path):
    workspace = make_workspace(tmp_path / "shop")
    options = convert_to_csv(workspace, tmp_path)
    message = workspace.run("feedback", "import", *options, "--rejects", options[-1], code=2)
    assert "--rejects" in message


def test_a_folder_is_no_file(tmp_path, monkeypatch):
    workspace = make_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in (".", "..", "/"):
        assert "Is a directory" in workspace.run("feedback", "import", name, code=2)


def test_a_folder_needs_vectors_of_its_queries(tmp_path):
    workspace = make_workspace(tmp_path)
    message = workspace.run("feedback", "import", "--beir", str(tmp_path), code=2)
    assert "--beir and folders need those, or --embed" in message


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--qrels", "x", "--query-ids", "x"],
        ["f.csv", "--query-vectors", "x"],
        ["--query-vectors", "x", "--query-ids", "x"],
        ["--qrels", "x", "--beir", "x", "--query-vectors", "x", "--query-ids", "x"],
        ["--embed", "json:dumps"],
        ["--qrels", "x", "--embed", "json:dumps"],
        ["--beir", "x", "--query-ids", "x", "--embed", "json:dumps"],
    ],
)
def test_options_that_do_not_fit_together_are_refused(options):
    result = CliRunner().invoke(app, ["feedback", "import", *options])
    assert result.exit_code == 2
    assert "--qrels" in result.stderr
