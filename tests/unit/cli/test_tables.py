"""How the result of a change is drawn for people, and printed as JSON."""

from __future__ import annotations

import json

import pytest
import typer

from nudge_sync.cli.tables import print_and_exit

SUMMARY = {
    "collection": "docs",
    "moved": 2,
    "before": {"ndcg@10": 0.5},
    "after": {"ndcg@10": 0.625},
}


def test_scores_stand_side_by_side_below_the_rest(capsys):
    with pytest.raises(typer.Exit) as ended:
        print_and_exit(SUMMARY, 3, as_json=False)
    assert ended.value.exit_code == 3
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["docs"]
    assert ["moved", "│", "2"] in lines
    assert lines[-1] == ["ndcg@10", "│", "0.5000", "│", "0.6250", "│", "+0.1250"]


@pytest.mark.parametrize(("lost", "verdict"), [(False, "no loss"), (True, "a loss")])
def test_what_the_live_index_answered_is_told_once(capsys, lost, verdict):
    live = {"before": {"ndcg@10": 0.5}, "after": {"ndcg@10": 0.625}, "lost": lost}
    with pytest.raises(typer.Exit):
        print_and_exit({**SUMMARY, "live": live}, 0, as_json=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["live", "│", "ndcg@10", "0.6250;", *verdict.split()] in lines


def test_of_several_collections_each_has_its_tables(capsys):
    with pytest.raises(typer.Exit):
        print_and_exit(
            [SUMMARY, {"collection": "tools", "error": {"cause": "LeaseHeld", "message": "held"}}],
            1,
            as_json=False,
        )
    out = capsys.readouterr().out
    assert out.index("docs") < out.index("tools") < out.index("error")


def test_as_json_it_is_the_summary(capsys):
    with pytest.raises(typer.Exit):
        print_and_exit(SUMMARY, 0, as_json=True)
    assert json.loads(capsys.readouterr().out) == SUMMARY


COLD = {
    "share": 0.35,
    "source": "log",
    "warm": {"mean": 0.0512, "low": 0.04, "high": 0.06, "queries": 80},
    "cold": {"mean": -0.002, "low": None, "high": None, "queries": 1},
}


def print_cold(capsys, **changes) -> str:
    summary = {**SUMMARY, "metric": "ndcg@10", "cold": {**COLD, **changes}}
    with pytest.raises(typer.Exit):
        print_and_exit(summary, 0, as_json=False)
    return capsys.readouterr().out


def test_answers_with_and_without_feedback_stand_below_each_other(capsys):
    out = print_cold(capsys)
    assert "answers without feedback count 35% in the choice, as estimated from what" in out
    cells = [[cell.strip() for cell in line.split("│")] for line in out.splitlines()]
    assert ["with feedback", "+0.0512", "+0.0400 to +0.0600", "80"] in cells
    assert ["without feedback", "-0.0020", "unknown", "1"] in cells


def test_of_a_plan_that_moves_nothing_only_the_share_is_told(capsys):
    out = print_cold(capsys, warm=None, cold=None, source="assumed")
    assert "assumed, since no search logged what it showed" in out
    assert "with feedback" not in out.replace("without feedback count", "")


@pytest.mark.parametrize(
    ("reference", "words"), [("exact", "an exact search"), ("wide", "a much wider search")]
)
def test_how_much_the_index_finds_is_told_and_what_to_do_where_that_is_little(
    capsys, reference, words
):
    recall = {"share": 0.96875, "queries": 32, "reference": reference, "warning": ""}
    with pytest.raises(typer.Exit):
        print_and_exit({**SUMMARY, "index_recall": recall}, 0, as_json=False)
    out = capsys.readouterr().out
    told = f"finds 96.9% of the unjudged points near a query: 32 queries compared with {words}"
    assert told in out
    with pytest.raises(typer.Exit):
        print_and_exit(
            {**SUMMARY, "index_recall": {**recall, "warning": "raise ef"}}, 0, as_json=False
        )
    assert "warning: raise ef" in capsys.readouterr().out
