"""Python's search for cyclic garbage, held back where millions of rows pass that are no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_MANY = 100_000
"""Containers more than were freed before garbage is looked for: some batches of records."""
_lock = Lock()
_before: list[tuple[int, int, int]] = []
"""The thresholds that each of those inside found."""


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Inside, garbage is looked for seldom; otherwise that is a good part of what reading takes."""
    with _lock:
        _before.append(gc.get_threshold())
        gc.set_threshold(_MANY)
    try:
        yield
    finally:
        with _lock:
            found = _before.pop()
            if not _before:
                gc.set_threshold(*found)
