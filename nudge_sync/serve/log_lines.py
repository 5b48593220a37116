"""Log lines on stderr: text for people, or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from nudge_sync.base.debug import is_debug_mode
from nudge_sync.base.terminal import escape_unprintable
from nudge_sync.base.tracing import SPANS

LOGGER = logging.getLogger("nudge_sync")
_DETAILS_ATTRIBUTE = "details"


def configure_logging(log_format: Literal["text", "json"]) -> None:
    """Log to stderr: this project from INFO on, libraries from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOGGER.setLevel(logging.INFO)
    # The daemon logs failed and skipped jobs in its own words.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def log_message(level: int, message: str, **details: Any) -> None:
    """Log one line; `details` become its fields.

    In debug mode, a line of level ERROR brings the traceback of the exception being handled.
    """
    LOGGER.log(
        level, message, extra={_DETAILS_ATTRIBUTE: details}, exc_info=_is_traceback_wanted(level)
    )


def _is_traceback_wanted(level: int) -> bool:
    # A traceback may quote addresses and data, so it is asked for.
    return is_debug_mode() and level >= logging.ERROR and sys.exc_info()[0] is not None


class JsonFormatter(logging.Formatter):
    """Lines that are JSON objects: time, level, message, the ids of a span, and the details."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON."""
        entry = {
            "time": _format_time(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **SPANS.get_current_ids(),
            **getattr(record, _DETAILS_ATTRIBUTE, {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Lines for people: time, level, message, and each detail as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and the traceback if there is one."""
        details = "".join(
            f" {name}={escape_unprintable(json.dumps(value, default=str, ensure_ascii=False))}"
            for name, value in getattr(record, _DETAILS_ATTRIBUTE, {}).items()
        )
        # A line break in a message must not make a line of its own.
        message = escape_unprintable(record.getMessage())
        line = f"{_format_time(record)} {record.levelname.lower():7} {message}{details}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _format_time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
