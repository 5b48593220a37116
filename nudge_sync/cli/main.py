"""Where the console script starts, and where every error becomes a message and an exit code."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import Any

import typer
from typer.core import TyperGroup

from nudge_sync.base.terminal import visible
from nudge_sync.errors import Interrupted, NudgeSyncError

EVERYWHERE = {"--config": True, "-c": True, "--collection": True, "--json": False}
"""Options of the verbs that may also stand before the verb -> whether a value follows."""
PIPE_CLOSED = 141
"""128 + SIGPIPE, as for any other program whose reader went away."""
INTERRUPTED = 130
"""128 + SIGINT."""


class Verbs(TyperGroup):
    """The verbs: an error on purpose becomes one line on stderr and its exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments, with `--config` and the like carried from before the verb to after it."""
        return super().parse_args(ctx, _moved_behind_the_verb(args))

    def invoke(self, ctx: Any) -> Any:
        """What the verb returns."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _let_go_of_stdout()
            raise typer.Exit(PIPE_CLOSED) from None
        except NudgeSyncError as error:
            if debugging():
                raise
            complain(str(error))
            raise typer.Exit(exit_code(error)) from None


def _moved_behind_the_verb(args: list[str]) -> list[str]:
    moved: list[str] = []
    at = 0
    while at < len(args) and args[at].partition("=")[0] in EVERYWHERE:
        width = 2 if EVERYWHERE[args[at].partition("=")[0]] and "=" not in args[at] else 1
        moved += args[at : at + width]
        at += width
    rest = args[at:]
    return rest[:1] + moved + rest[1:] if rest and not rest[0].startswith("-") else args


def exit_code(error: NudgeSyncError) -> int:
    """The exit code of an error on purpose."""
    return INTERRUPTED if isinstance(error, Interrupted) else error.exit_code


def debugging() -> bool:
    """Whether the operator asked for tracebacks."""
    return os.environ.get("NUDGE_SYNC_DEBUG", "") not in {"", "0"}


def complain(message: str) -> None:
    """One line on stderr."""
    typer.echo(f"nudge-sync: {visible(message)}", err=True)


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
        if debugging():
            raise
        complain(_unexpected(error))
        sys.exit(1)
    finally:
        _flush()


def _unexpected(error: Exception) -> str:
    # The message is left out: a client's may quote a connection string.
    place = "NUDGE_SYNC_DEBUG=1 shows the traceback, which may quote addresses and data"
    return f"unexpected {type(error).__name__}; this is a bug. {place}"


def _flush() -> None:
    try:
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        _let_go_of_stdout()


def _let_go_of_stdout() -> None:
    # Else the interpreter complains about the closed pipe as it ends.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
