"""Signals: some ask to stop between two batches, one to read the configuration again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from nudge_sync.errors import Interrupted

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """A flag that somebody asked to stop; any thread may set it or wait for it."""

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.signal_number: int | None = None

    def request(self, signal_number: int | None = None) -> None:
        """Ask to end after the batch in hand."""
        self.signal_number = signal_number
        self.requested.set()

    def wait(self, seconds: float = 1.0) -> bool:
        """Return whether somebody asked to stop, after `seconds` at most.

        Without a time limit, a signal that arrives as the lock is being taken, or in another
        thread, would not wake the main thread, and its handler would never run.
        """
        return self.requested.wait(seconds)

    def pause(self, seconds: float) -> None:
        """Wait so long; raise Interrupted as soon as somebody asks to stop."""
        self.requested.wait(seconds)
        self.raise_if_requested()

    def raise_if_requested(self) -> None:
        """Raise Interrupted once somebody asked to stop."""
        if self.requested.is_set():
            raise Interrupted


@contextmanager
def handle_stop_signals(
    stop: StopRequest, on_first_signal: Callable[[], None] = lambda: None
) -> Iterator[StopRequest]:
    """Let the first SIGINT or SIGTERM inside request `stop`; a second one has its usual effect.

    on_first_signal: called when the first one comes, to tell whoever pressed the key. Outside the
    main thread, where Python cannot set handlers, signals are left as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous_handlers = {
        signal_number: signal.getsignal(signal_number) for signal_number in STOP_SIGNALS
    }

    def handle_signal(signal_number: int, _: FrameType | None) -> None:
        signal.signal(signal_number, previous_handlers[signal.Signals(signal_number)])
        stop.request(signal_number)
        on_first_signal()

    for signal_number in STOP_SIGNALS:
        signal.signal(signal_number, handle_signal)
    try:
        yield stop
    finally:
        for signal_number, handler in previous_handlers.items():
            signal.signal(signal_number, handler)


@contextmanager
def handle_reload_signal(requested: threading.Event) -> Iterator[threading.Event]:
    """Let every SIGHUP inside set `requested`.

    Outside the main thread, where Python cannot set handlers, the signal is left as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield requested
        return
    previous_handler = signal.signal(signal.SIGHUP, lambda *_: requested.set())
    try:
        yield requested
    finally:
        signal.signal(signal.SIGHUP, previous_handler)
