"""`query-adapter`: the file it makes, the one it refuses to make, and the one it measures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nudge_sync import QueryAdapter
from tests.support.command_line import invoke, write_config
from tests.support.turned_collection import turn_queries
from tests.support.workspace import Workspace, make_workspace


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A collection with feedback from which a map of queries can be learned."""
    workspace = make_workspace(tmp_path / "work")
    answers = [row % 400 for row in range(500)]
    queries = turn_queries(workspace.data.vectors, answers)
    lines = [
        line
        for row, (query, answer) in enumerate(zip(queries, answers, strict=True))
        for line in (
            {"query_id": f"q{row}", "query_vector": query.tolist()},
            {"query_id": f"q{row}", "action": "relevant", "point": answer},
        )
    ]
    workspace.feedback_path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    workspace.run("feedback", "import", str(workspace.feedback_path))
    return workspace


def test_a_file_is_made_where_the_gate_lets_it_through(workspace, tmp_path):
    path = tmp_path / "made.json"

    made = workspace.run("query-adapter", "--out", str(path))

    assert made["gate"]["passed"]
    assert made["file"] == str(path)
    assert made["after"]["ndcg@10"] > made["before"]["ndcg@10"]
    adapter = QueryAdapter.load(path)
    assert adapter.version == made["version"]
    assert adapter.details["gate"]["passed"]

    checked = workspace.run("query-adapter", "--check", str(path))
    assert (checked["after"], checked["version"]) == (made["after"], made["version"])

    shown = invoke("query-adapter", "--out", str(path), "--config", str(workspace.config_path))
    assert shown.exit_code == 0
    for words in ("adapted", "without feedback", "passed", str(path)[:20]):
        assert words in shown.stdout
    assert set(made["cold"]) == {"warm", "cold"}

    path.unlink()
    workspace.write_config(min_queries=5000)
    refused = workspace.run("query-adapter", "--out", str(path), code=3)
    assert refused["error"]["cause"] == "GateRefused"
    assert refused["file"] is None
    assert not path.exists()


def test_an_adapter_that_does_harm_is_found_out(workspace, tmp_path):
    dimension, path = workspace.data.vectors.shape[1], tmp_path / "turned.json"
    turned = np.roll(np.eye(dimension, dtype=np.float32), 1, axis=1)
    QueryAdapter(turned, np.zeros(dimension, np.float32)).save(path)

    refused = workspace.run("query-adapter", "--check", str(path), code=3)

    assert refused["gate"]["gain"] < 0
    assert path.exists()


def test_to_check_and_to_write_exclude_each_other(tmp_path):
    path = str(write_config(tmp_path))
    done = invoke("query-adapter", "--check", "x", "--out", "y", "--config", path)
    assert (done.exit_code, "--out" in done.stderr) == (2, True)
    assert not (tmp_path / "shards").exists()


def test_a_file_that_is_no_adapter_is_refused_before_anything_is_opened(tmp_path):
    path = str(write_config(tmp_path))
    done = invoke("query-adapter", "--check", path, "--config", path)
    assert (done.exit_code, "not a query adapter" in done.stderr) == (2, True)
    assert not (tmp_path / "shards").exists()
