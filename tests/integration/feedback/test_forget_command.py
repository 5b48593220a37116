"""`forget` from the command line: afterwards the collection is as if the client had never been."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.workspace import Workspace, make_workspace


def import_feedback(folder: Path, others: str, keep: bool) -> Workspace:
    """A shop where every third query is one client's, who labels a point of their own."""
    shop = make_workspace(folder)
    rows = []
    for number, answer in enumerate(shop.data.answers):
        theirs = number % 3 == 0
        name, vector = f"q{number}", shop.data.queries[number].tolist()
        if theirs and not keep:
            continue
        said = {"query_id": name, "client": others if theirs else "c0", "session": f"s{number}"}
        rows.append({**said, "query_vector": vector})
        rows.append({**said, "action": "relevant", "point": answer, "grade": 1})
        if theirs:
            rows.append({**said, "action": "relevant", "point": 300 + number % 7, "grade": 1})
    shop.feedback_path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    shop.run("feedback", "import", str(shop.feedback_path))
    return shop


@pytest.mark.parametrize("client", ["c1", 'o\'hara "x" \u202e'])
def test_the_next_cycle_leaves_the_collection_as_if_they_had_never_been(tmp_path, client):
    workspace = import_feedback(tmp_path / "with", client, keep=True)
    other = import_feedback(tmp_path / "without", client, keep=False)
    before = workspace.read_vectors()
    workspace.run("apply", "--yes")
    assert (workspace.read_vectors()[300:307] != before[300:307]).any()
    gone = workspace.run("forget", "--client", client, "--yes")
    assert (gone["searches"], gone["events"]) == (300, 600)
    workspace.run("apply", "--yes")
    other.run("apply", "--yes")
    assert workspace.read_vectors().tobytes() == other.read_vectors().tobytes()
    assert workspace.read_vectors()[300:307].tobytes() == before[300:307].tobytes()
    found = workspace.run("feedback", "stats")
    assert (found["searches"], found["events"]) == (600, 600)
    assert workspace.run("verify", "--drill")["drill"]["ok"]


def test_forgetting_everybody_brings_every_original_back(tmp_path):
    workspace = import_feedback(tmp_path / "shop", "c1", keep=True)
    before = workspace.read_vectors()
    workspace.run("apply", "--yes")
    for client in ("c0", "c1"):
        workspace.run("forget", "--client", client, "--yes")
    workspace.run("apply", "--yes", code=3)
    assert workspace.read_vectors().tobytes() == before.tobytes()
