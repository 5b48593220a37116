"""A change that is stopped at one call, in a thread, while others go on."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import Self

from nudge_sync.connector import Database
from nudge_sync.errors import NudgeSyncError
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.faults import Faults, FaultyDatabase, When

PATIENCE = 300.0


class Paused:
    """`work` in a thread of its own, held up at one of its calls; it wakes at the block's end."""

    def __init__(
        self, database: Database, work: Callable[[Target], object], at: int, when: When
    ) -> None:
        self.error: NudgeSyncError | None = None
        self.stopped = False
        """Whether it came to that call."""
        self._reached, self._go_on = Event(), Event()
        faults = Faults(at, when, self._pause)
        self._target = open_target(FaultyDatabase(database, faults), "docs")
        self._work = work
        self._thread = Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._reached.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._go_on.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _pause(self) -> None:
        self.stopped = True
        self._reached.set()
        assert self._go_on.wait(PATIENCE)

    def _run(self) -> None:
        try:
            self._work(self._target)
        except NudgeSyncError as error:
            self.error = error
        finally:
            self._reached.set()
