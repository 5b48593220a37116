"""Where the console script starts."""

from __future__ import annotations

import sys
from io import TextIOWrapper

from nudge_sync.base.debug import is_debug_mode
from nudge_sync.cli.app import app
from nudge_sync.cli.errors import (
    describe_failure,
    discard_stdout,
    is_json_requested,
)
from nudge_sync.cli.output import print_json, print_notice


def main() -> None:
    """Run the command line and exit; a traceback is shown only in debug mode."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A name that the terminal's encoding lacks is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="nudge-sync")
    except Exception as error:  # the last line of defence
        if is_debug_mode():
            raise
        message = _format_unexpected(error)
        print_notice(message)
        if is_json_requested(sys.argv[1:]):
            print_json({"error": describe_failure(type(error).__name__, message, 1)})
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
        discard_stdout()
