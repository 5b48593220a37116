"""Intervals and cron lines, as people write them."""

from __future__ import annotations

import re

_SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MAX_DURATION_SECONDS = 3660 * 86400
_DURATION_PATTERN = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[smhdw])+")


def parse_duration(duration: str) -> float:
    """Return the seconds of a duration such as 90s, 30m, 1.5h or 1d12h.

    Raises ValueError where it is no duration, is zero, or is over ten years.
    """
    text = duration.strip().lower().replace(" ", "")
    if _DURATION_PATTERN.fullmatch(text):
        parts = re.findall(r"([0-9.]+)([smhdw])", text)
        total = sum(float(number) * _SECONDS_PER_UNIT[unit] for number, unit in parts)
        if 0 < total <= _MAX_DURATION_SECONDS:
            return total
    raise ValueError("not a duration; write 90s, 30m, 6h, 1d or 1d12h")


def check_cron(cron: str) -> None:
    """Raise ValueError unless `cron` is the five fields of a line of crontab(5)."""
    # Imported here: otherwise every verb would load the scheduler.
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415

    try:
        CronTrigger.from_crontab(cron, timezone="UTC")
    except (ValueError, TypeError, KeyError):
        message = "not a cron line; write minute hour day month weekday, such as 15 3 * * *"
        raise ValueError(message) from None
