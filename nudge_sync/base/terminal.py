"""Text from elsewhere, made safe for a terminal and for a line of a log."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: they move the cursor, rename the window
    "\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069"  # they reorder or break the line
    "\ud800-\udfff]"  # half a surrogate pair cannot be encoded
)


def escape_unprintable(text: str) -> str:
    """Return the text on one line, with what a terminal would act on written as an escape."""
    return _UNPRINTABLE.sub(lambda match: repr(match[0])[1:-1], text)
