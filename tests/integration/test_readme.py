"""The README's table of verbs: every field of `--json` that it promises is there."""

from __future__ import annotations

import re

import pytest

from tests.support.documentation import find_table, read_page
from tests.support.workspace import Workspace, make_workspace

STORY = [
    ("check",),
    ("feedback import", "FEEDBACK"),
    ("feedback stats",),
    ("feedback judgements", "--point", "0"),
    ("plan",),
    ("apply", "--yes"),
    ("show", "1"),
    ("verify",),
    ("explain", "0"),
    ("evaluate", "--method", "nudge-n", "--seeds", "1"),
    ("rollback", "--yes"),
    ("hold", "--reason", "worse"),
    ("release",),
    ("canary start",),
    ("canary status",),
    ("canary stop",),
    ("canary start",),
    ("canary promote", "--yes"),
    ("resume",),
    ("unlock",),
    ("gc",),
    ("forget", "--client", "nobody", "--yes"),
]
ELSEWHERE = {
    *("init", "log", "console", "serve", "mcp", "demo"),
    *("feedback export", "feedback pull", "query-adapter"),
}


def read_promised_fields() -> dict[str, set[str]]:
    """Return verb -> the fields of its JSON object."""
    table = find_table(read_page("README.md"), "| verb | does |")
    rows = re.findall(r"^\| `([a-z -]+)` \|.*\| (.*?) ?\|$", table, re.MULTILINE)
    return {verb: set(re.findall(r"`(\w+)`", fields)) for verb, fields in rows}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("shop"))


def test_every_field_that_the_readme_names(workspace: Workspace):
    fields = read_promised_fields()
    assert {words[0] for words in STORY} | ELSEWHERE == fields.keys()
    fields["apply"] = (fields["apply"] | fields["plan"]) - {"hold"}
    fields["canary start"] |= fields["apply"]
    for verb, *rest in STORY:
        words = [str(workspace.feedback_path) if word == "FEEDBACK" else word for word in rest]
        result = workspace.run(*verb.split(), *words)
        assert fields[verb] <= result.keys(), verb
