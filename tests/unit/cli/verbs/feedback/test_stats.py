"""`feedback stats`: the funnel, and what it covers."""

from __future__ import annotations

from tests.support.command_line import invoke
from tests.support.workspace import Workspace


def test_without_feedback_everything_is_zero(untouched_workspace: Workspace):
    result = untouched_workspace.run("feedback", "stats")
    assert (result["searches"], result["events"], result["judged"]) == (0, 0, 0)
    assert result["points"] == 400


def test_people_read_the_funnel_and_what_it_covers(untouched_workspace: Workspace):
    done = invoke("feedback", "stats", "--config", str(untouched_workspace.config_path))
    assert "from events to judgements" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("0 of 400 points")
