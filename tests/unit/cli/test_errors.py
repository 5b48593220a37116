"""What an error becomes: one line on stderr, an exit code, and a traceback only if asked for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from nudge_sync.cli.errors import (
    INTERRUPTED_EXIT_CODE,
    PIPE_CLOSED_EXIT_CODE,
    VerbGroup,
    get_exit_code,
)
from nudge_sync.errors import ConfigError, Interrupted, LeaseHeld, NudgeSyncError
from tests.support.command_line import invoke, run_process, write_config


def make_app(error: Exception) -> typer.Typer:
    """A program with two verbs, one of which raises `error`."""
    program = typer.Typer(cls=VerbGroup)

    @program.command()
    def fail() -> None:
        raise error

    @program.command()
    def succeed() -> None:
        pass

    return program


@pytest.mark.parametrize(
    ("error", "code"),
    [(LeaseHeld("held"), 1), (ConfigError("wrong"), 2), (Interrupted(), INTERRUPTED_EXIT_CODE)],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_on_purpose_is_one_line_and_its_code(error, code):
    done = CliRunner().invoke(make_app(error), ["fail"], env={"NUDGE_SYNC_DEBUG": ""})
    assert (done.exit_code, done.stderr) == (code, f"nudge-sync: {error}\n")
    assert get_exit_code(error) == code
    assert CliRunner().invoke(make_app(error), ["succeed"]).exit_code == 0


def test_what_a_terminal_would_act_on_is_escaped():
    done = CliRunner().invoke(make_app(NudgeSyncError("a\x1b[2Jb\nc")), ["fail"])
    assert done.stderr == "nudge-sync: a\\x1b[2Jb\\nc\n"


def test_a_traceback_is_shown_if_asked_for():
    done = CliRunner().invoke(make_app(LeaseHeld("held")), ["fail"], env={"NUDGE_SYNC_DEBUG": "1"})
    assert isinstance(done.exception, LeaseHeld)


def test_a_reader_that_went_away_has_a_code_of_its_own():
    script = (
        "from tests.unit.cli.test_errors import make_app\nmake_app(BrokenPipeError())(['fail'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stderr) == (PIPE_CLOSED_EXIT_CODE, b"")


@pytest.mark.parametrize(
    "words",
    [
        ("rollback", "--to", "one"),
        ("show", "first"),
        ("plan", "--colection", "docs"),
        ("plna",),
        ("serve", "--port", "70000"),
        ("serve", "--log-format", "xml"),
    ],
)
def test_usage_errors_exit_with_2(words, tmp_path):
    done = invoke(*words, NUDGE_SYNC_CONFIG=str(write_config(tmp_path)))
    assert done.exit_code == 2
    assert done.stderr
    assert not done.stdout


def test_a_configuration_error_is_one_line(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("[databse]\n", encoding="utf-8")
    done = run_process("check", "--config", str(path))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "did you mean 'database'" in done.stderr
