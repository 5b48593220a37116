"""Which `[database]` tables the Qdrant connector takes."""

from __future__ import annotations

import pytest

pytest.importorskip("qdrant_client")

from nudge_sync.connector import connect
from nudge_sync.errors import ConfigError

SECRET = "s3cr3t-k3y"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, "one of url, path and location"),
        ({"url": "http://x", "location": ":memory:"}, "one of url, path and location"),
        ({"url": "http://x", "client_key": "k.pem"}, "go together"),
        ({"url": "http://x", "ca_certificate": "/nowhere/ca.pem"}, "certificates"),
        ({"url": "http://x", "api_key": SECRET}, "api_key"),
        ({"url": "http://x", "preferr_grpc": True}, "did you mean 'prefer_grpc'"),
        ({"url": "http://x", "payload_mark": "a.b"}, "payload_mark"),
        ({"location": "memory"}, "location"),
    ],
)
def test_sections_that_are_refused(section, message):
    with pytest.raises(ConfigError, match=message) as caught:
        connect("qdrant", section)
    assert SECRET not in str(caught.value)
