"""Versions as numbers that compare."""

from __future__ import annotations

import pytest

from nudge_sync.connector.versions import parse_version


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("1.16.0", (1, 16, 0)),
        ("v1.17.2-dev", (1, 17, 2)),
        ("2.6.2-rc1", (2, 6, 2)),
        ("2.6", (2, 6)),
        ("3", (3,)),
        ("dev", ()),
        ("", ()),
    ],
)
def test_the_leading_numbers(version, numbers):
    assert parse_version(version) == numbers


def test_they_compare_with_a_release():
    assert parse_version("v2.10.0") >= (2, 6, 2)
    assert not parse_version("2.6.1") >= (2, 6, 2)
    assert not parse_version("nightly") >= (1,)
