"""`forget`: whose feedback, and the question it asks."""

from __future__ import annotations

import pytest

from tests.support.command_line import run_process
from tests.support.workspace import Workspace


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "name one client, one session, one query, or a day"),
        (("--client", "a", "--query", "q"), "name one client, one session, one query, or a day"),
        (("--before", "yesterday"), "no day such as 2026-05-01"),
    ],
)
def test_whose_feedback_has_to_be_said(words, expected, untouched_workspace: Workspace):
    assert expected in untouched_workspace.run("forget", *words, "--yes", code=2)


def test_of_somebody_who_never_searched_nothing_is_removed(untouched_workspace: Workspace):
    result = untouched_workspace.run("forget", "--client", "nobody", "--yes")
    assert result == {"collection": "docs", "searches": 0, "events": 0, "left": {}}


def test_where_nobody_can_be_asked_a_yes_is_needed(untouched_workspace: Workspace):
    path = str(untouched_workspace.config_path)
    refused = run_process("forget", "--client", "a", "--config", path)
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
