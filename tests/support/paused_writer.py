"""A change that is stopped at one call, in a thread, while others go on."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import Self

from nudge_sync.connector import Database
from nudge_sync.errors import NudgeSyncError
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.faults import Faults, FaultyDatabase, When
from tests.support.timeouts import TIMEOUT_SECONDS


class PausedWriter:
    """A change in a thread of its own, paused at one of its calls until the `with` block ends."""

    def __init__(
        self, database: Database, change: Callable[[Target], object], call: int, when: When
    ) -> None:
        self.error: NudgeSyncError | None = None
        self.was_paused = False
        """Whether the change came to that call."""
        self._paused_or_done, self._resume = Event(), Event()
        faults = Faults(call, when, self._pause)
        self._target = open_target(FaultyDatabase(database, faults), "docs")
        self._change = change
        self._thread = Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._paused_or_done.wait(TIMEOUT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._resume.set()
        self._thread.join(TIMEOUT_SECONDS)
        assert not self._thread.is_alive()

    def _pause(self) -> None:
        self.was_paused = True
        self._paused_or_done.set()
        assert self._resume.wait(TIMEOUT_SECONDS)

    def _run(self) -> None:
        try:
            self._change(self._target)
        except NudgeSyncError as error:
            self.error = error
        finally:
            self._paused_or_done.set()
