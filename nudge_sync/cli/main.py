"""Where the console script starts, and where every error becomes a message and an exit code."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import Any

import typer
from typer.core import TyperGroup

from nudge_sync.base.terminal import escape_unprintable
from nudge_sync.errors import Interrupted, NudgeSyncError

GLOBAL_OPTIONS = {"--config": True, "-c": True, "--collection": True, "--json": False}
"""Options of the verbs that may also stand before the verb -> whether a value follows."""
PIPE_CLOSED_EXIT_CODE = 141
"""128 + SIGPIPE, as for any other program whose reader went away."""
GATE_REFUSED_EXIT_CODE = 3
"""The exit code of a cycle whose change does not stand: refused before, or undone after."""
INTERRUPTED_EXIT_CODE = 130
"""128 + SIGINT."""


class VerbGroup(TyperGroup):
    """The verbs: an error on purpose becomes one line on stderr and its exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments, with `--config` and the like carried from before the verb to after it."""
        return super().parse_args(ctx, _move_options_after_verb(args))

    def invoke(self, ctx: Any) -> Any:
        """What the verb returns."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _discard_stdout()
            raise typer.Exit(PIPE_CLOSED_EXIT_CODE) from None
        except NudgeSyncError as error:
            if is_debug_mode():
                raise
            print_error(str(error))
            raise typer.Exit(get_exit_code(error)) from None


def _move_options_after_verb(args: list[str]) -> list[str]:
    global_options: list[str] = []
    index = 0
    while index < len(args) and args[index].partition("=")[0] in GLOBAL_OPTIONS:
        word_count = (
            2 if GLOBAL_OPTIONS[args[index].partition("=")[0]] and "=" not in args[index] else 1
        )
        global_options += args[index : index + word_count]
        index += word_count
    rest = args[index:]
    return rest[:1] + global_options + rest[1:] if rest and not rest[0].startswith("-") else args


def get_exit_code(error: NudgeSyncError) -> int:
    """The exit code of an error on purpose."""
    return INTERRUPTED_EXIT_CODE if isinstance(error, Interrupted) else error.exit_code


def is_debug_mode() -> bool:
    """Whether the operator asked for tracebacks."""
    return os.environ.get("NUDGE_SYNC_DEBUG", "") not in {"", "0"}


def print_error(message: str) -> None:
    """One line on stderr."""
    typer.echo(f"nudge-sync: {escape_unprintable(message)}", err=True)


def main() -> None:
    """Run the command line; never returns, and never shows a traceback that nobody asked for."""
    from nudge_sync.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A name that the terminal's encoding lacks is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="nudge-sync")
    except Exception as error:  # the last line of defence
        if is_debug_mode():
            raise
        print_error(_format_unexpected(error))
        sys.exit(1)
    finally:
        _flush_stdout()


def _format_unexpected(error: Exception) -> str:
    # The message is left out: a client's may quote a connection string.
    hint = "NUDGE_SYNC_DEBUG=1 shows the traceback, which may quote addresses and data"
    return f"unexpected {type(error).__name__}; this is a bug. {hint}"


def _flush_stdout() -> None:
    try:
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        _discard_stdout()


def _discard_stdout() -> None:
    # Else the interpreter complains about the closed pipe as it ends.
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, sys.stdout.fileno())
