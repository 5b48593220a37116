"""`apply`: the question it asks, and plans from files."""

from __future__ import annotations

import pytest

from nudge_sync.cli.verbs.apply import _format_question
from tests.support.command_line import invoke, run_process, write_config


@pytest.mark.parametrize("verb", ["apply", "rollback"])
def test_where_nobody_can_be_asked_a_yes_is_needed(verb, tmp_path):
    refused = run_process(verb, "--config", str(write_config(tmp_path)))
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert not (tmp_path / "shards").exists()


def test_a_plan_from_a_file_is_that_of_one_collection(tmp_path):
    path = str(write_config(tmp_path))
    done = invoke("apply", "--all", "--plan", "x", "--yes", "--config", path)
    assert (done.exit_code, "not --all" in done.stderr) == (2, True)


def test_the_question_says_what_would_be_gained():
    summary = {
        "gate": {"passed": True, "reasons": []},
        "method": "nudge-n",
        "moved": 40,
        "before": {"ndcg@10": 0.5},
        "after": {"ndcg@10": 0.625},
    }
    question = "'docs': nudge-n moves 40 vectors (ndcg@10 0.5000 -> 0.6250). Write?"
    assert _format_question("docs", summary) == question
    cold = {"share": 0.5, "source": "log", "warm": None, "cold": {"mean": -0.0042}}
    question = question.replace(")", "; answers without feedback -0.0042)")
    assert _format_question("docs", {**summary, "cold": cold}) == question


def test_the_question_says_why_points_go_back():
    summary = {"gate": {"passed": False, "reasons": ["no gain", "too few"]}, "moved": 3}
    question = "'docs': no gain; too few. 3 vectors go back to their originals. Write?"
    assert _format_question("docs", summary) == question
