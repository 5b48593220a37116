"""Python's search for cyclic garbage, run seldom while millions of acyclic objects are made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_GC_THRESHOLD = 100_000
"""How many more containers are made than freed before a search: some batches of records."""
_lock = Lock()
_saved_thresholds: list[tuple[int, int, int]] = []
"""The thresholds that each `pause_gc` now open found when it was entered."""


@contextmanager
def pause_gc() -> Iterator[None]:
    """Search for cyclic garbage seldom while inside: it takes a good part of the time of reading.

    May be entered by several threads at once; the last one to leave restores the thresholds.
    """
    with _lock:
        _saved_thresholds.append(gc.get_threshold())
        gc.set_threshold(_GC_THRESHOLD)
    try:
        yield
    finally:
        with _lock:
            thresholds = _saved_thresholds.pop()
            if not _saved_thresholds:
                gc.set_threshold(*thresholds)
