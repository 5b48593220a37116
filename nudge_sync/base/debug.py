"""How much of an error is shown: the operator may ask for tracebacks."""

from __future__ import annotations

import os

from nudge_sync.errors import NudgeSyncError


def is_debug_mode() -> bool:
    """Return whether NUDGE_SYNC_DEBUG is set to anything but 0.

    A traceback may quote addresses and data, so none is shown unless somebody asks for it.
    """
    return os.environ.get("NUDGE_SYNC_DEBUG", "") not in {"", "0"}


def format_logged_error(error: Exception) -> str:
    """Return the kind of an error for the log, with its message where nudge-sync raised it.

    The message of any other error is left out: a client's may quote a connection string.
    """
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, NudgeSyncError) else kind
