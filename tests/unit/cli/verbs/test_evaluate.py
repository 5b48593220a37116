"""`evaluate`: its choices, and options that do not go together."""

from __future__ import annotations

import pytest
from typer.main import get_command

from nudge_sync.cli.app import app
from nudge_sync.cli.verbs.evaluate import parse_choice, parse_choices
from nudge_sync.errors import ConfigError
from nudge_sync.evaluate.methods import DEFAULT_METHODS, METHODS
from tests.support.command_line import invoke

CHOICES = ("dot", "cosine", "euclid")


def test_choices_are_taken_once_and_in_their_own_order():
    assert parse_choices(["euclid", "dot", "euclid"], CHOICES) == ("dot", "euclid")
    assert parse_choices(None, CHOICES) == parse_choices([], CHOICES) == CHOICES
    assert (parse_choice(None, CHOICES), parse_choice("dot", CHOICES)) == (None, "dot")


def test_another_choice_is_refused_with_those_there_are():
    for parse in (lambda: parse_choice("x", CHOICES), lambda: parse_choices(["x"], CHOICES)):
        with pytest.raises(ConfigError, match="'x' is not one of: dot, cosine, euclid"):
            parse()


def test_the_help_names_every_method_and_how_many_are_compared():
    command = get_command(app).commands["evaluate"]
    [text] = [option.help for option in command.params if "--method" in option.opts]
    assert text.startswith(f"{', '.join(METHODS[:-1])} or {METHODS[-1]}; may be repeated")
    assert text.endswith("Default: the first eight.")
    assert len(DEFAULT_METHODS) == 8


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--metric", "ndcg@7"), "is not one of"),
        (("--method", "magic"), "is not one of"),
        (("--protocol", "none"), "is not one of"),
        (("--similarity", "x"), "is not one of"),
        (("folder", "--dataset", "beir/x"), "say files or --dataset, not both"),
        (("folder", "--queries", "x.npy"), "say a directory or --documents"),
        (("--documents", "x.npy"), "needs --documents, --queries and --qrels"),
        (("--seeds", "0"), "--seeds"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(words, expected):
    done = invoke("evaluate", *words)
    assert (done.exit_code, done.stdout, expected in done.stderr) == (2, "", True)
