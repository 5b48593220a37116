"""Stopping between batches: a signal asks, the work in hand looks after every batch."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from nudge_sync.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.signal: int | None = None

    def ask(self, number: int | None = None) -> None:
        """End after the batch in hand."""
        self.signal = number
        self.asked.set()

    def wait(self) -> None:
        """Return once somebody asked to stop."""
        # With a time limit: a signal that arrives as the lock is being taken, or in another
        # thread, does not wake the main thread, and its handler would never run.
        while not self.asked.wait(1):
            pass

    def check(self) -> None:
        """Nothing, or raises Interrupted once somebody asked to stop."""
        if self.asked.is_set():
            raise Interrupted


@contextmanager
def on_signal(stop: Stop, said: Callable[[], None] = lambda: None) -> Iterator[Stop]:
    """SIGINT and SIGTERM ask `stop`, once; a second one ends at once, as without this.

    said: called when the first one comes, to tell whoever pressed the key. Signals are left alone
    outside the main thread, where Python cannot set them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def ask(number: int, _: FrameType | None) -> None:
        signal.signal(number, before[signal.Signals(number)])
        stop.ask(number)
        said()

    for number in SIGNALS:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
