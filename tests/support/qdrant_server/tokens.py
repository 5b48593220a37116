"""Tokens for Qdrant's access control: JSON Web Tokens, signed with the server's own API key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any


def make_token(api_key: str, access: str | Mapping[str, str]) -> str:
    """Return a token with these rights (RFC 7519, HS256), which never expires.

    access: "r" or "m" for every collection, or "r", "rw" or "prw" for each of some collections.
    """
    claims: Any = access
    if not isinstance(access, str):
        claims = [{"collection": name, "access": right} for name, right in access.items()]
    signed = ".".join(
        _encode(part) for part in ({"alg": "HS256", "typ": "JWT"}, {"access": claims})
    )
    digest = hmac.new(api_key.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_to_base64(digest)}"


def _encode(part: Mapping[str, Any]) -> str:
    return _to_base64(json.dumps(part).encode())


def _to_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
