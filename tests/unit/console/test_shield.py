"""Which Host headers are answered; the pages themselves are in tests/integration/console."""

from __future__ import annotations

import pytest

from nudge_sync.console.shield import is_known_host


@pytest.mark.parametrize(
    "header", ["127.0.0.1", "127.0.0.1:9465", "10.0.0.7", "[::1]:9465", "localhost:1", "LocalHost"]
)
def test_addresses_and_localhost_are_known(header):
    assert is_known_host(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "evil.example:9465",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::1",
        "a b",
        "@",
    ],
)
def test_names_are_not(header):
    assert not is_known_host(header)
    assert is_known_host("nudge.example.org:80", ["other", "Nudge.example.org"])
