"""Python's search for cyclic garbage, held back where millions of rows pass that are no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_GC_THRESHOLD = 100_000
"""Containers more than were freed before garbage is looked for: some batches of records."""
_lock = Lock()
_saved_thresholds: list[tuple[int, int, int]] = []
"""The thresholds that each of those inside found."""


@contextmanager
def pause_gc() -> Iterator[None]:
    """Inside, garbage is looked for seldom; otherwise that is a good part of what reading takes."""
    with _lock:
        _saved_thresholds.append(gc.get_threshold())
        gc.set_threshold(_GC_THRESHOLD)
    try:
        yield
    finally:
        with _lock:
            saved_thresholds = _saved_thresholds.pop()
            if not _saved_thresholds:
                gc.set_threshold(*saved_thresholds)
