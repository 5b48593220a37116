"""What an error becomes on the command line: one line on stderr, and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from nudge_sync.base.debug import is_debug_mode
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
    """A group of verbs that turns every NudgeSyncError into one line on stderr and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, with `--config` and the like moved from before the verb to after."""
        return super().parse_args(ctx, _move_options_after_verb(args))

    def invoke(self, ctx: Any) -> Any:
        """Run the verb. Raises typer.Exit in place of a NudgeSyncError, unless in debug mode."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            discard_stdout()
            raise typer.Exit(PIPE_CLOSED_EXIT_CODE) from None
        except NudgeSyncError as error:
            if is_debug_mode():
                raise
            print_error(str(error))
            raise typer.Exit(get_exit_code(error)) from None


def _move_options_after_verb(args: list[str]) -> list[str]:
    global_options: list[str] = []
    rest = args
    while rest and (name := rest[0].partition("=")[0]) in GLOBAL_OPTIONS:
        word_count = 2 if GLOBAL_OPTIONS[name] and "=" not in rest[0] else 1
        global_options += rest[:word_count]
        rest = rest[word_count:]
    is_verb_next = bool(rest) and not rest[0].startswith("-")
    return [rest[0], *global_options, *rest[1:]] if is_verb_next else args


def get_exit_code(error: NudgeSyncError) -> int:
    """Return the exit code of an error that nudge-sync raised on purpose."""
    return INTERRUPTED_EXIT_CODE if isinstance(error, Interrupted) else error.exit_code


def print_error(message: str) -> None:
    """Print `message` as one line on stderr, after the program's name."""
    typer.echo(f"nudge-sync: {escape_unprintable(message)}", err=True)


def discard_stdout() -> None:
    """Send what is left on stdout to nowhere, once its reader has gone away.

    Otherwise the interpreter complains about the closed pipe as it exits.
    """
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, sys.stdout.fileno())
