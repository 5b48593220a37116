"""Log lines on stderr: text for people, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from nudge_sync.base.terminal import visible

LOGGER = logging.getLogger("nudge_sync")
_OWN = "details"


def set_up(form: Literal["text", "json"]) -> None:
    """Send this project's log to stderr, and of the libraries only what went wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOGGER.setLevel(logging.INFO)
    # Its errors and misfires are ours to tell, in our own words.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def say(level: int, message: str, **details: Any) -> None:
    """One line; `details` become fields."""
    LOGGER.log(level, message, extra={_OWN: details}, exc_info=_traceback_wanted(level))


def _traceback_wanted(level: int) -> bool:
    # A traceback may quote addresses and data, so it is asked for.
    asked = os.environ.get("NUDGE_SYNC_DEBUG", "") not in {"", "0"}
    return asked and level >= logging.ERROR and sys.exc_info()[0] is not None


class JsonLines(logging.Formatter):
    """time, level, message and the details."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, _OWN, {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """time level message name=value."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback if there is one."""
        details = "".join(
            f" {name}={visible(json.dumps(value, default=str, ensure_ascii=False))}"
            for name, value in getattr(record, _OWN, {}).items()
        )
        # A line break in a message must not make a line of its own.
        message = visible(record.getMessage())
        line = f"{_time(record)} {record.levelname.lower():7} {message}{details}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
