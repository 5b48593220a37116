"""Where the console script starts."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

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
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A name that the terminal's encoding lacks is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="nudge-sync")
    except Exception as error:  # the last line of defence
        if is_debug_mode():
            raise
        message = _describe_full_disk(error) or _format_unexpected(error)
        print_notice(message)
        if is_json_requested(sys.argv[1:]):
            # It may be stdout that is on the full disk.
            with suppress(OSError):
                print_json({"error": describe_failure(type(error).__name__, message, 1)})
        sys.exit(1)
    finally:
        _flush_stdout()


def _replace_closed_streams() -> None:
    """Open the null device for each standard stream that was closed, as by `>&-`.

    In their order: the first file that is opened takes the lowest number, which is that of the
    stream.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - stays open
            setattr(sys, name, stream)


def _describe_full_disk(error: Exception) -> str:
    """Return what to say of an error that nobody caught, if a disk is full; else ""."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.filename or 'stdout, or a file that was open'}: {error.strerror}"
    return ""


def _format_unexpected(error: Exception) -> str:
    # The message is left out: a client's may quote a connection string.
    hint = "NUDGE_SYNC_DEBUG=1 shows the traceback, which may quote addresses and data"
    return f"unexpected {type(error).__name__}; this is a bug. {hint}"


def _flush_stdout() -> None:
    try:
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        discard_stdout()
    except OSError as error:
        discard_stdout()
        print_notice(f"stdout: {error.strerror}")
        sys.exit(1)
