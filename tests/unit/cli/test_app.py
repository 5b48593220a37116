"""The list of verbs: help, order, version."""

from __future__ import annotations

import pytest

from tests.support.command_line import invoke, list_verbs

VERBS = list(list_verbs())
IDS = [" ".join(words) for words, _ in VERBS]


def test_the_verbs_stand_in_the_order_of_an_operators_day():
    assert [
        *("init", "check", "plan", "apply", "rollback", "hold", "release", "resume", "forget"),
        *("log", "show", "verify", "unlock", "gc", "evaluate", "explain"),
        *("query-adapter", "console", "serve", "mcp", "demo"),
        *("feedback import", "feedback pull", "feedback stats"),
        *("feedback judgements", "feedback export"),
        *("canary start", "canary status", "canary promote", "canary stop"),
    ] == IDS


@pytest.mark.parametrize(("words", "command"), VERBS, ids=IDS)
def test_every_verb_says_what_it_does(words, command):
    shown = invoke(*words, "--help", COLUMNS="200", TERMINAL_WIDTH="200")
    assert shown.exit_code == 0
    assert command.help.splitlines()[0][:20] in shown.output


@pytest.mark.parametrize(("words", "command"), VERBS, ids=IDS)
def test_every_verb_takes_json_or_prints_nothing_else(words, command):
    options = {option for parameter in command.params for option in parameter.opts}
    without_json = {("console",), ("serve",), ("mcp",), ("feedback", "export")}
    assert "--json" in options or words in without_json


def test_version_and_help():
    assert invoke("--version").output.strip() == "0.1.0"
    assert invoke("--help").exit_code == 0
    assert invoke().exit_code == 2
