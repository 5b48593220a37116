"""Intervals and cron lines, as people write them.

The scheduler reads a cron line otherwise than crontab(5) does where weekdays are concerned.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apscheduler.triggers.base import BaseTrigger

_SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MAX_DURATION_SECONDS = 3660 * 86400
_DURATION_PATTERN = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[smhdw])+")
_FIELD_COUNT = 5
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAY_PART = re.compile(r"(?:\*|([0-7]|[a-z]+)(?:-([0-7]|[a-z]+))?)(?:/([0-9]+))?")
"""First day, last day and step; * is every day."""
_CHECKED_FROM = datetime(2024, 1, 1, tzinfo=UTC)


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
    """Raise ValueError unless `cron` is the five fields of a line of crontab(5) and comes due."""
    try:
        trigger = build_cron_trigger(cron, "UTC")
    except (ValueError, TypeError, KeyError):
        message = "not a cron line; write minute hour day month weekday, such as 15 3 * * mon-fri"
        raise ValueError(message) from None
    if trigger.get_next_fire_time(None, _CHECKED_FROM) is None:
        raise ValueError("the cron line never comes due; none of its months has such a day")


def build_cron_trigger(cron: str, timezone: str) -> BaseTrigger:
    """Return the times that a line of crontab(5) names.

    Where neither day of month nor weekday begins with *, a day counts that either of them names.
    Raises ValueError where it is no such line.
    """
    # Imported here: otherwise every verb would load the scheduler.
    from apscheduler.triggers.combining import OrTrigger  # noqa: PLC0415
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415

    fields = cron.lower().split()
    if len(fields) != _FIELD_COUNT:
        raise ValueError(f"{len(fields)} fields")
    minute, hour, day, month, weekday = fields
    month = re.sub("[a-z]+", lambda name: str(_MONTHS.index(name[0]) + 1), month)
    # The scheduler counts weekdays from Monday on, and knows no Sunday before it.
    weekdays = ",".join(str((number - 1) % 7) for number in _list_weekdays(weekday))

    def build_trigger(day: str, weekdays: str) -> BaseTrigger:
        return CronTrigger(
            minute=minute,
            hour=hour,
            day=day,
            month=month,
            day_of_week=weekdays,
            timezone=timezone,
        )

    if day.startswith("*") or weekday.startswith("*"):
        return build_trigger(day, weekdays)
    return OrTrigger([build_trigger(day, "*"), build_trigger("*", weekdays)])


def _list_weekdays(field: str) -> list[int]:
    """Return the days that a weekday field names, from Sunday, 0, on. Raises ValueError."""
    days: set[int] = set()
    for part in field.split(","):
        match = _WEEKDAY_PART.fullmatch(part)
        if match is None:
            raise ValueError(f"no weekday: {part}")
        first_name, last_name, step = match.groups()
        if first_name and not step:
            last_name = last_name or first_name
        first, last = _parse_weekday(first_name or "sun"), _parse_weekday(last_name or "sat")
        if last < first:
            last += 7
        days.update(number % 7 for number in range(first, last + 1, int(step or 1)))
    return sorted(days)


def _parse_weekday(name: str) -> int:
    """Return the number of a weekday, 0 to 7; both ends are Sunday. Raises ValueError."""
    return int(name) if name.isdecimal() else _WEEKDAYS.index(name)
