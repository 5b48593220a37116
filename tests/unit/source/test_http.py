"""How long a source waits for a server that asks it to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from nudge_sync.errors import ConfigError, SourceError
from nudge_sync.source.http import JsonClient, read_retry_after
from nudge_sync.source.shapes import expect_shape


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("0", 1.0), ("-3", 1.0), ("2.5", 2.5), ("", 15.0), ("x", 15.0)],
)
def test_seconds_to_wait(text, seconds):
    assert read_retry_after(text) == seconds


def test_a_date_to_wait_for():
    soon = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)
    assert 50 < read_retry_after(soon) <= 60
    assert read_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 1.0


def test_another_shape_is_an_error_of_the_source():
    expected = pytest.raises(SourceError, match="the list is not of the documented shape")
    with expected, expect_shape("the list"):
        {}["data"]


def test_a_file_that_holds_no_certificate():
    with pytest.raises(ConfigError, match="ca_file"):
        JsonClient("https://localhost", ca_file=Path(__file__))
