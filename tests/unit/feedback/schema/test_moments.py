"""Moments, however written."""

import numpy as np
import pytest

from nudge_sync.feedback.schema.moments import parse_past_timestamps, parse_timestamp
from nudge_sync.feedback.schema.values import BadRow

MOMENTS = [
    1_700_000_000, 1_700_000_000_000, 1_700_000_000_000_000, 1_700_000_000_000_000_000,
    "1700000000", "1700000000.0", "1700000000000", "2023-11-14T22:13:20Z",
    "2023-11-14 22:13:20 UTC", "2023-11-14T22:13:20.000000000Z", "2023-11-14 22:13:20+00",
    "2023-11-14T23:13:20+0100", "2023/11/14 22:13:20", "20231114221320",
    "Tue, 14 Nov 2023 22:13:20 GMT", "14/Nov/2023:22:13:20 +0000", "2023-11-14 22:13:20,000",
    "Tuesday, 14-Nov-23 22:13:20 GMT", "Tue Nov 14 22:13:20 2023", "Tue Nov 14 22:13:20 UTC 2023",
    "Tue, 14 Nov 2023 15:13:20 MST", "Tue, 14 Nov 2023 23:13:20 +01:00",
    "Wed Nov 15 2023 00:13:20 GMT+0200 (Central European Summer Time)",
    "Nov 14, 2023 10:13:20 PM", "November 14, 2023 10:13:20 p.m.", "14 Nov 2023 10:13:20PM UTC",
    20231114221320, 20231114221320.0, "20231114221320.0",
]  # fmt: skip


@pytest.mark.parametrize("value", MOMENTS)
def test_one_moment_in_many_spellings(value):
    assert parse_timestamp(value) == 1_700_000_000.0


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (20231114, "2023-11-14"),
        (202311142213, "2023-11-14T22:13"),
        (19991231, "1999-12-31"),
        (0, "1970-01-01"),
    ],
)
def test_a_number_and_its_text_are_one_moment(number, moment):
    seconds = parse_timestamp(moment)
    assert parse_timestamp(number) == parse_timestamp(float(number)) == seconds
    times, is_time = parse_past_timestamps(np.array([1.0, number, number, np.nan]))
    assert (times[1:3].tolist(), is_time.tolist()) == ([seconds] * 2, [True, True, True, False])
    assert parse_timestamp(str(number)) == parse_timestamp(f"{number}.0") == seconds


NO_MOMENTS = [
    "noon", "12:00", "14/11/2023", "99999999999999999999", True, -1, 20231314, "20231314",
    20230229, 202311142460, 20231114.5, "14112023", "17000000", "2023", "202311",
    "Nov 14, 2023 22:13:20 PM", "14 Nov 2023 10 PM", "2023-11-14 10:13 PM", "11/14/2023 10:13 PM",
    "14 Nov 2023 09:00 +0100 +0200", "14 Nov 2023 09:00 + 10:00", "14 Nov 2023 09:00 +2",
]  # fmt: skip


@pytest.mark.parametrize("value", NO_MOMENTS)
def test_what_is_no_moment_is_refused(value):
    with pytest.raises(BadRow, match="unparsable time"):
        parse_timestamp(value)
    if isinstance(value, float):
        assert not parse_past_timestamps(np.array([value]))[1].any()


@pytest.mark.parametrize(
    "text",
    [
        "Tue, 14 Nov 2023 23:13:20 CET",
        "Wed Nov 15 00:13:20 CEST 2023",
        "14 Nov 2023 23:13:20 GMT+1",
        "14 Nov 2023 23:13:20 Europe/Berlin",
    ],
)
def test_a_zone_that_is_not_known_is_named(text):
    with pytest.raises(BadRow, match="is no time zone that is known; an offset such as"):
        parse_timestamp(text)
