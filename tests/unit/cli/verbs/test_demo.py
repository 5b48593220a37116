"""`demo`: what people read of it, and engines that it does not run on."""

from __future__ import annotations

import pytest

from nudge_sync.cli.verbs.demo import _print_demo
from nudge_sync.demo.demo_cycle import DemoResult, Example
from nudge_sync.demo.visitors import VisitorsReview
from tests.support.command_line import invoke

SUMMARY = {
    "engine": "Qdrant Edge 0.9",
    "documents": 199,
    "queries": 1200,
    "judged": 150,
    "moved": 140,
    "method": "nudge-c",
    "before": {"ndcg@10": 0.672},
    "after": {"ndcg@10": 0.86},
    "rolled_back": {"points": 199, "identical": 199, "max_abs_difference": 0.0},
    "seconds": 12.5,
}


def test_people_read_scores_in_per_cent_and_what_came_of_the_rollback(capsys):
    example = Example("q1", "Chess", "GameTool", "GameTool")
    reviews = [
        VisitorsReview(25, 0.2, -0.05, 0.4, "none", "not sure"),
        VisitorsReview(50, 0.21, 0.1, 0.35, "promoted", "surely better"),
    ]
    _print_demo(SUMMARY, DemoResult(SUMMARY, reviews, [example], 306, 32))
    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines() if line.startswith("ndcg")] == [
        ["ndcg@10", "│", "67.20", "│", "86.00", "│", "+18.80"]
    ]
    shown = [line.split("│") for line in out.splitlines() if " to +" in line]
    assert [[cell.strip() for cell in row] for row in shown] == [
        ["25", "+0.20", "-0.05 to +0.40", "not sure"],
        ["50", "+0.21", "+0.10 to +0.35", "promoted"],
    ]
    assert "306 found a right answer in first place, 32 lost it" in out
    assert "199 of 199 vectors are bit for bit what they were (largest difference 0)" in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [(("--on", "qdrant"), "needs --url"), (("--on", "sqlite"), "the demo runs on")],
)
def test_what_it_does_not_run_on(words, expected):
    done = invoke("demo", *words)
    assert (done.exit_code, expected in done.stderr) == (2, True)
