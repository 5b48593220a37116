"""A line every few seconds on a stderr that is no terminal: that work goes on, and which."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Self

INTERVAL_SECONDS = 15.0


class ProgressLines:
    """Prints the latest report every few seconds while a `with` block runs; short work says none.

    From a thread of its own, since some stages report nothing until they are done.
    """

    def __init__(self, print_line: Callable[[str], None], interval_seconds: float) -> None:
        self._print_line = print_line
        self._interval_seconds = interval_seconds
        self._started_at = time.monotonic()
        self._latest = "beginning"
        self._ended = Event()
        self._thread = Thread(target=self._run, name="progress", daemon=True)

    def report(self, stage: str, done: int, total: int) -> None:
        """Take in how far a stage has come; total: 0 where that is not known, 1 for no parts."""
        counts = f" {done} of {total}" if total > 1 else f" {done}" if done and not total else ""
        self._latest = f"{stage}{counts}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._interval_seconds):
            seconds = time.monotonic() - self._started_at
            self._print_line(f"{self._latest}, {seconds:.0f} s so far")
