"""Cron lines, beside crontab(5) written out as a sieve of days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nudge_sync.base.times import build_cron_trigger, check_cron

YEAR = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(366)]
FRIDAY = datetime(2026, 5, 1, tzinfo=UTC)


def list_due(line: str, start: datetime, end: datetime, timezone: str = "UTC") -> list[datetime]:
    """Return when a line is due, from `start` to before `end`."""
    trigger = build_cron_trigger(line, timezone)
    due, last = [], None
    while True:
        last = trigger.get_next_fire_time(last, last or start)
        if last is None or last >= end:
            return due
        due.append(last)


def read_field(field: str, low: int, high: int, names: str = "") -> set[int]:
    """Return the numbers that a field names, as cron(8) does: it fills a bit for each."""
    for number, name in enumerate(names.split(), start=low):
        field = field.replace(name, str(number))
    numbers: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if first == "*":
            first, dash, last = str(low), "-", str(high)
        numbers |= set(range(int(first), int(last if dash else first) + 1, int(step or 1)))
    return numbers


def is_day_of(line: str, day: datetime) -> bool:
    """Return whether a line of crontab(5) runs on a day."""
    _, _, days, months, weekdays = line.lower().split()
    if day.month not in read_field(
        months, 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"
    ):
        return False
    is_day = day.day in read_field(days, 1, 31)
    numbers = read_field(weekdays, 0, 7, "sun mon tue wed thu fri sat")
    is_weekday = bool(numbers & ({0, 7} if day.isoweekday() == 7 else {day.isoweekday()}))
    # "If both fields are restricted (i.e., don't start with *), the command will be run when either
    # field matches the current time."
    if days.startswith("*") or weekdays.startswith("*"):
        return is_day and is_weekday
    return is_day or is_weekday


@pytest.mark.parametrize(
    ("weekdays", "expected"),
    [
        ("0", "Sun"),
        ("7", "Sun"),
        ("7-7", "Sun"),
        ("1", "Mon"),
        ("6", "Sat"),
        ("1-5", "Mon Tue Wed Thu Fri"),
        ("5-1", "Mon Fri Sat Sun"),
        ("6-0", "Sat Sun"),
        ("5-7", "Fri Sat Sun"),
        ("7-1", "Mon Sun"),
        ("0,6", "Sat Sun"),
        ("0-7", "Mon Tue Wed Thu Fri Sat Sun"),
        ("*", "Mon Tue Wed Thu Fri Sat Sun"),
        ("*/2", "Tue Thu Sat Sun"),
        ("*/7", "Sun"),
        ("1-5/2", "Mon Wed Fri"),
        ("5-1/2", "Fri Sun"),
        ("4/2", "Thu Sat"),
        ("sun", "Sun"),
        ("SAT,Sun", "Sat Sun"),
        ("mon-fri", "Mon Tue Wed Thu Fri"),
        ("mon-fri/2", "Mon Wed Fri"),
        ("sun-thu", "Mon Tue Wed Thu Sun"),
        ("fri-mon", "Mon Fri Sat Sun"),
        ("mon,3,5-6", "Mon Wed Fri Sat"),
    ],
)
def test_weekdays_are_those_of_crontab(weekdays, expected):
    monday = datetime(2026, 5, 4, tzinfo=UTC)
    due = list_due(f"15 3 * * {weekdays}", monday, monday + timedelta(days=7))
    assert " ".join(f"{day:%a}" for day in due) == expected
    assert {(day.hour, day.minute) for day in due} == {(3, 15)}


@pytest.mark.parametrize(
    "line",
    [
        "0 3 * * *",
        "0 3 * * 0",
        "0 3 * * 7",
        "0 3 13 * 5",
        "0 3 1,15 * mon-fri",
        "0 3 1-7 * 1",
        "0 3 */2 * 1",
        "0 3 */10 * *",
        "0 3 31 * *",
        "0 3 1 * */2",
        "0 3 */3 * */3",
        "0 3 29 2 *",
        "0 3 31 2 sun",
        "0 3 * feb,4,jun-aug *",
        "0 3 * jan-jun/2 0,3",
        "0 3 10 */4 sat",
        "0 3 1-31 * 3",
        "0 3 5 5 1-5/2",
    ],
)
def test_a_line_runs_on_the_days_that_crontab_says(line):
    due = list_due(line, YEAR[0], YEAR[-1] + timedelta(days=1))
    assert [day.date() for day in due] == [day.date() for day in YEAR if is_day_of(line, day)]


def test_where_two_fields_name_a_day_it_runs_once():
    due = list_due("*/30 8-9 1 5 5", FRIDAY, FRIDAY + timedelta(days=1))
    assert [(day.hour, day.minute) for day in due] == [(8, 0), (8, 30), (9, 0), (9, 30)]


def test_a_line_is_read_in_its_time_zone():
    (due,) = list_due("0 1 * * 6", FRIDAY, FRIDAY + timedelta(days=1), "Asia/Tokyo")
    assert due == datetime(2026, 5, 1, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    "line",
    [
        *("", "daily", "@daily", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *"),
        *("* * 32 * *", "* * * 13 *", "* * * january *", "* * * * 8", "* * * * -1", "* * * * 1-8"),
        *(
            "* * * * sunday",
            "* * * * mon-",
            "* * * * 1,",
            "* * * * ,",
            "* * * * */0",
            "* * * * */x",
        ),
        *("* * * * 1-5-6", "* * * * 1/2/3", "* * * * *-5", "* * * * 1st", "* * * * \u0661"),
        f"* * * * */{'9' * 5000}",
    ],
)
def test_what_is_no_line_of_crontab_is_refused(line):
    with pytest.raises(ValueError, match="not a cron line; write minute hour day month weekday"):
        check_cron(line)


@pytest.mark.parametrize("line", ["0 3 31 2 *", "0 3 30 2 *", "* * 31 apr,jun,9,nov */2"])
def test_a_line_that_never_comes_due_is_refused(line):
    with pytest.raises(ValueError, match="never comes due"):
        check_cron(line)


@pytest.mark.parametrize("line", ["0 3 29 2 *", "0 3 29 2 */2", "0 3 31 2 mon", "0 3 last * *"])
def test_one_that_comes_due_seldom_is_not(line):
    check_cron(line)
