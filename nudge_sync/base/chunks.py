"""Rows cut into chunks, to be worked on one after the other or in threads."""

from __future__ import annotations

ROWS_PER_CHUNK = 512
"""Rows of a chunk: a few such chunks, in float64, stay in a core's cache."""


def list_chunks(count: int, size: int = ROWS_PER_CHUNK) -> list[slice]:
    """Return slices that cover `count` rows in order, each of at most `size` rows."""
    return [slice(low, min(low + size, count)) for low in range(0, count, size)]
