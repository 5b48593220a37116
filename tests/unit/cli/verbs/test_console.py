"""`console`: what it refuses before it starts."""

from __future__ import annotations

import pytest

from nudge_sync.console.access import ACTION_TOKEN_VARIABLE, READ_TOKEN_VARIABLE
from tests.support.command_line import invoke, write_config

LONG = "x" * 16


@pytest.mark.parametrize(
    ("words", "variables", "named"),
    [
        ((), {READ_TOKEN_VARIABLE: "short"}, READ_TOKEN_VARIABLE),
        (("--act",), {READ_TOKEN_VARIABLE: LONG, ACTION_TOKEN_VARIABLE: LONG}, "the same"),
        (("--host", "no such host"), {READ_TOKEN_VARIABLE: LONG}, "cannot listen"),
        (("--collection", "nope", "--plan", "x"), {READ_TOKEN_VARIABLE: LONG}, "'nope'"),
        (("--plan", "no such file"), {READ_TOKEN_VARIABLE: LONG}, "no such file"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(words, variables, named, tmp_path):
    tokens = {READ_TOKEN_VARIABLE: "", ACTION_TOKEN_VARIABLE: "", **variables}
    done = invoke("console", *words, "--config", str(write_config(tmp_path)), **tokens)
    assert done.exit_code == 2
    assert named in done.stderr
    assert LONG not in done.stderr
    assert not done.stdout
