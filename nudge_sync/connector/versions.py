"""The version that a server reports, as numbers that compare."""

from __future__ import annotations

import re

_LEADING_NUMBERS = re.compile(r"v?(\d+(?:\.\d+)*)")
"""The release at the start of a version, with or without a "v" before it."""


def parse_version(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: "v2.6.2-rc1" gives (2, 6, 2), "dev" gives ().

    Compare them with the first release that can do something: () is older than any.
    """
    match = _LEADING_NUMBERS.match(version)
    return tuple(int(part) for part in match[1].split(".")) if match else ()
