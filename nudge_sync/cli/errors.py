"""What an error becomes on the command line: one line on stderr, and an exit code.

Where JSON was asked for, stdout holds one document about it as well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from shutil import get_terminal_size
from typing import Any

import typer
from typer.core import TyperGroup

from nudge_sync.base.debug import is_debug_mode
from nudge_sync.cli.output import print_json, print_notice
from nudge_sync.errors import Declined, Interrupted, NudgeSyncError

GLOBAL_OPTIONS = {"--config": True, "-c": True, "--collection": True, "--json": False}
"""Options of the verbs that may also stand before the verb -> whether a value follows."""
PIPE_CLOSED_EXIT_CODE = 141
"""128 + SIGPIPE, as for any other program whose reader went away."""
GATE_REFUSED_EXIT_CODE = 3
"""The exit code of a cycle whose change does not stand: refused before, or undone after."""
INTERRUPTED_EXIT_CODE = 130
"""128 + SIGINT."""
JSON_VARIABLE = "NUDGE_SYNC_JSON"
"""What also asks for JSON, for every verb."""
_MIN_VARIABLE_COLUMNS = 100
"""Columns of a terminal in which every environment variable fits into a table of options."""
_TRUE_VALUES = {"1", "true", "t", "yes", "y", "on"}
_JSON_KEY, _REPORTED_KEY = "nudge_sync.json", "nudge_sync.reported"
"""Where a run keeps whether JSON was asked for, and whether its error is printed already."""


class VerbGroup(TyperGroup):
    """A group of verbs that turns every NudgeSyncError into one line on stderr and an exit code.

    Where JSON was asked for, each error, also one of usage, is a document on stdout too.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, with `--config` and the like moved from before the verb to after."""
        ctx.meta.setdefault(_JSON_KEY, is_json_requested(args))
        try:
            return super().parse_args(ctx, _move_options_after_verb(args))
        except typer.TyperException as error:
            _print_usage_error(ctx, error)
            raise

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the verb of a name. Its help leaves out the environment variables that follow from
        the names of verb and option where the terminal is too narrow to show them whole.
        """
        command: Any = super().get_command(ctx, cmd_name)
        is_narrow = get_terminal_size().columns < _MIN_VARIABLE_COLUMNS
        for parameter in command.params if command is not None and is_narrow else ():
            derived_name = f"_{cmd_name}_{parameter.name}".upper()
            if str(parameter.envvar or derived_name).endswith(derived_name):
                parameter.show_envvar = False
        return command

    def invoke(self, ctx: Any) -> Any:
        """Run the verb. Raises typer.Exit in place of a NudgeSyncError, unless in debug mode."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            discard_stdout()
            raise typer.Exit(PIPE_CLOSED_EXIT_CODE) from None
        except typer.TyperException as error:
            _print_usage_error(ctx, error)
            raise
        except (typer.Abort, KeyboardInterrupt):
            # The program's own way to end: 1 at a question that nobody answers, 130 at a signal.
            is_signal = isinstance(sys.exception(), KeyboardInterrupt)
            _print_document(ctx, summarise_error(Interrupted() if is_signal else Declined()))
            raise
        except NudgeSyncError as error:
            _print_document(ctx, summarise_error(error))
            if is_debug_mode():
                raise
            print_notice(str(error))
            raise typer.Exit(get_exit_code(error)) from None


def is_json_requested(args: Sequence[str]) -> bool:
    """Return whether these words, or the environment, ask for JSON on stdout."""
    words = list(args)
    options = words[: words.index("--")] if "--" in words else words
    return "--json" in options or os.environ.get(JSON_VARIABLE, "").lower() in _TRUE_VALUES


def describe_failure(cause: str, message: str, exit_code: int) -> dict[str, Any]:
    """Return the `error` field that `--json` prints for whatever went wrong.

    cause: the name in the table of causes, docs/operations.md.
    """
    return {"cause": cause, "message": message, "exit_code": exit_code}


def summarise_error(error: NudgeSyncError) -> dict[str, Any]:
    """Return the `error` field that `--json` prints for an error."""
    return describe_failure(type(error).__name__, str(error), get_exit_code(error))


def _print_usage_error(ctx: Any, error: typer.TyperException) -> None:
    # Not its `message`, which is empty where an argument is missing.
    message = error.format_message()
    _print_document(ctx, describe_failure("UsageError", message, getattr(error, "exit_code", 2)))


def _print_document(ctx: Any, failure: dict[str, Any]) -> None:
    """Print the document about an error, once a run and only where JSON was asked for."""
    if ctx.meta.get(_JSON_KEY) and not ctx.meta.get(_REPORTED_KEY):
        ctx.meta[_REPORTED_KEY] = True
        print_json({"error": failure})


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


def discard_stdout() -> None:
    """Send what is left on stdout to nowhere, once its reader has gone away.

    Otherwise the interpreter complains about the closed pipe as it exits.
    """
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, sys.stdout.fileno())
