"""Moments of feedback rows in seconds since 1970, however they are written.

What may be more than one moment is refused.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64
from nudge_sync.feedback.schema.values import BadRow
from nudge_sync.store.schema import LAST_MOMENT

MILLISECONDS_THRESHOLD = 1e11
"""A timestamp from here on is in milliseconds since 1970; in seconds this is the year 5138."""
MICROSECONDS_THRESHOLD = float(LAST_MOMENT)
"""The first moment that is none in milliseconds; in microseconds it lies in 1978."""
NANOSECONDS_THRESHOLD = 1000 * MICROSECONDS_THRESHOLD
"""The first moment that is none in microseconds."""
END_OF_TIME = LAST_MOMENT / 1000
"""Seconds since 1970."""
MAX_CLOCK_SKEW = 86_400.0
"""Seconds that a moment may lie ahead of this machine's clock."""
CALENDAR_NUMBERS = (
    (19e6, 21e6, "%Y%m%d"),
    (19e10, 21e10, "%Y%m%d%H%M"),
    (19e12, 21e12, "%Y%m%d%H%M%S"),
)
"""Between which numbers the digits of one are a moment of the years 1900 to 2099, and which digits
are what. Counted since 1970, they would lie in August 1970, in 1976 and after the year 2500."""
_NUMBER = re.compile(
    r"0(\.0*)?|((19|20)[0-9]{6}|[0-9]{9,19})(\.[0-9]*)?|[0-9](\.[0-9]+)?[eE]\+?[0-9]{1,2}"
)
_ZONE_NAME = re.compile(r"\s*(UTC|GMT)$")
_LOG_MOMENT = re.compile(r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:")
_COMMENT = re.compile(r"\([^()]*\)$")
_OFFSET = re.compile(r"(?:\b(?:UTC|GMT)|(?<=[\s0-9]))([+-][0-9]{2}):?([0-9]{2})\b")
_TWELVE_HOURS = re.compile(
    r"\b(1[0-2]|0?[1-9])((?::[0-9]{2}){1,2})\s*([ap])\.?m\b\.?", re.IGNORECASE
)
_WEEKDAY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)([a-z]*day)?", re.IGNORECASE)
_DATE_PART = re.compile(
    "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*|"
    r"[0-9]{1,4}|[0-9]{1,2}-[a-z]{3}-[0-9]{2,4}|[0-9]{1,2}([:.][0-9]{2}){1,2}|"
    "[+-][0-9]{4}|ut|utc|gmt|z|[ecmp][sd]t",
    re.IGNORECASE,
)
"""Part of a date in an e-mail, less the weekday; of the names of zones those that RFC 5322 has."""
_MAX_DATE_PARTS = 5
"""Day, month, year, time and zone."""


def parse_timestamp(value: Any) -> float:
    """Return `value` in seconds since 1970, or 0 for None.

    value: seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size,
    or the digits of a day or a moment, such as 20260501 or 202605010900; as a number or a text. Or
    a text in ISO 8601, in UTC if it names no zone, or as in an e-mail or a web server's log. Raises
    BadRow for anything else and outside the years 1970 to 9999.
    """
    if value is None:
        return 0.0
    try:
        number = _parse_text(value.strip()) if isinstance(value, str) else _scale(float(value))
    except (ValueError, TypeError, OverflowError):
        raise BadRow("unparsable time", "seconds since 1970 or ISO 8601 is expected") from None
    if isinstance(value, bool) or not 0 <= number < END_OF_TIME:
        raise BadRow("unparsable time", "outside the years 1970 to 9999")
    return number


def parse_past_timestamp(value: Any) -> float:
    """Return what `parse_timestamp` does. Raises BadRow also over a day ahead of the clock."""
    moment = parse_timestamp(value)
    # Behaviour ages from the newest search on: one in the future would make all other old.
    if moment > time.time() + MAX_CLOCK_SKEW:
        raise BadRow("unparsable time", "more than a day ahead of this machine's clock")
    return moment


def parse_past_timestamps(numbers: Float64) -> tuple[Float64, NDArray[np.bool_]]:
    """Return what `parse_past_timestamp` does for each number, (n,), and which are a time, (n,)."""
    divisors = np.select(
        [
            numbers < MILLISECONDS_THRESHOLD,
            numbers < MICROSECONDS_THRESHOLD,
            numbers < NANOSECONDS_THRESHOLD,
        ],
        [1.0, 1e3, 1e6],
        1e9,
    )
    times = numbers / divisors
    for low, high, _ in CALENDAR_NUMBERS:
        rows = np.flatnonzero((numbers >= low) & (numbers < high))
        distinct, codes = np.unique(numbers[rows], return_inverse=True)
        times[rows] = np.array([_scale_or_nan(number) for number in distinct.tolist()])[codes]
    latest = time.time() + MAX_CLOCK_SKEW
    return times, (times >= 0) & (times < END_OF_TIME) & (times <= latest)


def _scale_or_nan(number: float) -> float:
    try:
        return _scale(number)
    except ValueError:
        return float("nan")


def _scale(number: float) -> float:
    """Return a moment in seconds since 1970: its digits are those of a calendar, or else it is a
    time since 1970 whose unit its magnitude tells.
    """
    for low, high, layout in CALENDAR_NUMBERS:
        if low <= number < high:
            digits = str(number).removesuffix(".0")
            return _to_utc_seconds(datetime.strptime(digits, layout))  # noqa: DTZ007
    if number < MILLISECONDS_THRESHOLD:
        return number
    if number < MICROSECONDS_THRESHOLD:
        return number / 1e3
    return number / (1e6 if number < NANOSECONDS_THRESHOLD else 1e9)


def _parse_text(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return _scale(float(text))
    if _LOG_MOMENT.match(text):
        return datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").timestamp()
    try:
        return _to_utc_seconds(datetime.fromisoformat(_ZONE_NAME.sub("+00:00", text)))
    except ValueError:
        if text[4:5] == "/" == text[7:8]:
            return _parse_text(text.replace("/", "-"))
        return _to_utc_seconds(_parse_written_date(text))


def _parse_written_date(text: str) -> datetime:
    """Return the moment in a text such as "Fri, 01 May 2026 09:00:00 GMT", also with the offset and
    the comment of JavaScript, or with AM or PM.

    Raises BadRow for a word that may be the name of a zone, and ValueError for any other text.
    """
    text = _OFFSET.sub(r" \1\2", _COMMENT.sub("", text))
    text = _TWELVE_HOURS.sub(_to_24_hours, text)
    parts = [part for part in text.replace(",", " ").split() if not _WEEKDAY.fullmatch(part)]
    unknown = [part for part in parts if not _DATE_PART.fullmatch(part)]
    if len(unknown) == 1 and len(parts) == _MAX_DATE_PARTS:
        raise BadRow(
            "unparsable time",
            f"{unknown[0]!r} is no time zone that is known; an offset such as +0200 is expected",
        )
    if unknown or len(parts) > _MAX_DATE_PARTS:
        raise ValueError
    return parsedate_to_datetime(" ".join(parts))


def _to_24_hours(match: re.Match[str]) -> str:
    hour, rest, half = match.groups()
    return f"{int(hour) % 12 + (12 if half in 'pP' else 0):02}{rest}"


def _to_utc_seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
