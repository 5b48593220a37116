"""`check`: problems, notes, and the exit code."""

from __future__ import annotations

import json

from tests.support.command_line import invoke, write_config
from tests.support.workspace import Workspace


def test_a_collection_that_is_not_there_is_a_problem_and_stops_no_other(tmp_path):
    done = invoke("check", "--config", str(write_config(tmp_path, "one", "two")), "--json")
    result = json.loads(done.stdout)
    assert (done.exit_code, result["ok"]) == (1, False)
    assert [problem.partition(":")[0] for problem in result["problems"]] == ["one", "two"]
    assert result["database"]["connector"] == "qdrant-edge"


def test_one_collection_can_be_checked_alone(tmp_path):
    path = str(write_config(tmp_path, "one", "two"))
    done = invoke("check", "--collection", "two", "--config", path, "--json")
    assert json.loads(done.stdout)["collections"].keys() == {"two"}
    refused = invoke("check", "--collection", "three", "--config", path)
    assert (refused.exit_code, "it has: one, two" in refused.stderr) == (2, True)


def test_people_read_the_problems_below_the_facts(tmp_path):
    lines = invoke("check", "--config", str(write_config(tmp_path))).stdout.splitlines()
    assert lines[0].startswith("Qdrant Edge")
    assert lines[0].endswith("through qdrant-edge")
    assert lines[-2].startswith("problem  docs: ")
    assert lines[-1].startswith("not ok")


def test_a_method_that_the_metric_cannot_keep_is_a_problem(
    untouched_workspace: Workspace, tmp_path
):
    text = untouched_workspace.config_path.read_text(encoding="utf-8")
    path = tmp_path / "nudge-sync.toml"
    path.write_text(text.replace('"nudge-n"', '"nudge-m"'), encoding="utf-8")
    (problem,) = json.loads(invoke("check", "--config", str(path), "--json").stdout)["problems"]
    assert "nudge-m changes lengths" in problem


def test_too_few_searches_are_worth_a_note(untouched_workspace: Workspace):
    result = untouched_workspace.run("check")
    assert result["ok"]
    assert any("0 searches logged; the gate wants 20" in note for note in result["notes"])


def test_how_much_answers_without_feedback_count_is_said(untouched_workspace: Workspace, tmp_path):
    result = untouched_workspace.run("check")
    assert result["collections"]["docs"]["cold"] == {"share": 0.5, "source": "assumed"}
    text = untouched_workspace.config_path.read_text(encoding="utf-8")
    path = tmp_path / "nudge-sync.toml"
    path.write_text(text.replace("[solver]", '[solver]\ncold_share = "off"'), encoding="utf-8")
    blind = json.loads(invoke("check", "--config", str(path), "--json").stdout)
    assert blind["collections"]["docs"]["cold"] is None
    assert any('solver.cold_share is "off"' in note for note in blind["notes"])


def test_the_smallest_gain_that_the_feedback_can_show_is_said(
    untouched_workspace: Workspace, tmp_path
):
    empty = untouched_workspace.run("check")["collections"]["docs"]
    assert empty["held_out"] == {"queries": 0, "fifths": 5, "smallest_gain": None}

    workspace = untouched_workspace.copy_to(tmp_path / "judged")
    workspace.run("feedback", "import", str(workspace.feedback_path))
    result = workspace.run("check")
    held_out = result["collections"]["docs"]["held_out"]
    assert held_out["queries"] == workspace.run("plan")["queries"]["held"]
    assert held_out["fifths"] == workspace.run("plan")["gate"]["fifths"] == 1
    assert 0 < held_out["smallest_gain"] < 1
    points = f"about {100 * held_out['smallest_gain']:.1f} points or more"
    assert any(points in note for note in result["notes"])
