"""Options: each has an environment variable and help, and some may stand before the verb."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nudge_sync.cli.errors import GLOBAL_OPTIONS
from tests.support.command_line import invoke, list_verbs, write_config

VERBS = list(list_verbs())
IDS = [" ".join(words) for words, _ in VERBS]


@pytest.mark.parametrize(("words", "command"), VERBS, ids=IDS)
def test_every_option_has_help_and_its_variable(words, command):
    shown = invoke(*words, "--help", COLUMNS="200", TERMINAL_WIDTH="200")
    for parameter in command.params:
        if parameter.name == "help" or parameter.param_type_name == "argument":
            continue
        assert parameter.help, parameter.name
        prefix = "_".join(("NUDGE_SYNC", *words)).upper().replace("-", "_")
        variable = parameter.envvar or f"{prefix}_{parameter.name.upper()}"
        variable = variable if isinstance(variable, str) else variable[0]
        assert variable.startswith("NUDGE_SYNC_"), parameter.name
        assert variable in shown.output.replace("\n", ""), parameter.name


@pytest.mark.parametrize("verb", ["evaluate", "serve"])
def test_help_cuts_nothing_off_on_a_narrow_terminal(verb):
    # A process of its own: the width is looked up once.
    variables = {**os.environ, "COLUMNS": "80"}
    command = [sys.executable, "-m", "nudge_sync", verb, "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    assert "…" not in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_a_variable_means_the_same_option_everywhere():
    options: dict[str, str] = {}
    for words, command in VERBS:
        for parameter in command.params:
            if isinstance(parameter.envvar, str):
                option = parameter.opts[0]
                assert options.setdefault(parameter.envvar, option) == option, words


def test_a_variable_stands_in_for_its_option(tmp_path):
    path = str(write_config(tmp_path, "one", "two"))
    refused = invoke("log", NUDGE_SYNC_CONFIG=path, NUDGE_SYNC_COLLECTION="three")
    assert "no collection 'three'" in refused.stderr


def test_options_may_stand_before_the_verb(tmp_path):
    path = str(write_config(tmp_path, "one", "two"))
    for words in (("--config", path, "log"), (f"--config={path}", "log"), ("log", "-c", path)):
        assert "say --collection NAME" in invoke(*words).stderr
    after = invoke("--config", path, "--collection", "three", "log")
    assert "no collection 'three'" in after.stderr
    assert set(GLOBAL_OPTIONS) == {"--config", "-c", "--collection", "--json"}


@pytest.mark.parametrize(
    "words", [("--colection", "docs", "plan"), ("--config",), ("--config", "x")]
)
def test_other_options_before_the_verb_are_usage_errors(words):
    assert invoke(*words).exit_code == 2
