"""`explain` as an operator runs it."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from nudge_sync.cli.app import app
from tests.support.sample_collection import POINTS
from tests.support.workspace import Workspace, make_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    """A collection with feedback on which one cycle has run."""
    made = make_workspace(tmp_path_factory.mktemp("shop"))
    made.run("feedback", "import", str(made.feedback_path))
    made.run("apply", "--yes")
    return made


def test_a_moved_point_is_explained(workspace: Workspace):
    answered = [row for row, answer in enumerate(workspace.data.answers) if answer == 3]

    found = workspace.run("explain", "3")

    assert (found["point"], found["standing"], found["moved"]) == (3, "written", True)
    assert found["judged_by"] == len(answered)
    assert len(found["pulls"]) == found["judged_by"] - found["held_out"]
    assert sum(one["share"] for one in found["pulls"]) == pytest.approx(1)
    assert {one["query_id"] for one in found["pulls"]} <= {f"q{row}" for row in answered}
    assert np.mean([one["after"] - one["before"] for one in found["pulls"]]) > 0
    live = workspace.read_vectors()[3]
    original = workspace.data.vectors[3]
    assert found["angle"] == pytest.approx(np.arccos(np.clip(live @ original, -1, 1)), abs=1e-3)
    assert all(one["before"] is None and one["after"] <= 10 for one in found["wins"])
    assert all(one["after"] is None and one["before"] <= 10 for one in found["loses"])


def test_wins_and_losses_are_of_the_first_places_asked_for(workspace: Workspace):
    found = [workspace.run("explain", str(point), "--depth", "1") for point in range(4)]

    wins = [one for each in found for one in each["wins"]]
    loses = [one for each in found for one in each["loses"]]
    assert all((one["before"], one["after"]) == (None, 1) for one in wins)
    assert all((one["before"], one["after"]) == (1, None) for one in loses)
    assert sum(one["relevant"] for one in wins) > sum(one["relevant"] for one in loses)


def test_a_point_that_nobody_judged_has_no_pulls(workspace: Workspace):
    found = workspace.run("explain", str(POINTS - 1))

    assert (found["standing"], found["moved"], found["pulls"]) == ("unjudged", False, [])


def test_an_explanation_for_people(workspace: Workspace):
    variables = {"NUDGE_SYNC_CONFIG": str(workspace.config_path)}
    shown = CliRunner().invoke(app, ["explain", "3", "--limit", "2"], env=variables).stdout

    assert "docs: point 3 (written) turned by" in shown
    assert "Pulled by" in shown
    assert "more" in shown


def test_a_point_that_is_not_there_is_named(workspace: Workspace):
    assert "no point '4711'" in workspace.run("explain", "4711", code=2)
