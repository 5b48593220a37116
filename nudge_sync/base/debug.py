"""Whether the operator asked for tracebacks."""

from __future__ import annotations

import os


def is_debug_mode() -> bool:
    """Return whether NUDGE_SYNC_DEBUG is set to anything but 0.

    A traceback may quote addresses and data, so none is shown unless somebody asks for it.
    """
    return os.environ.get("NUDGE_SYNC_DEBUG", "") not in {"", "0"}
