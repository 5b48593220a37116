"""Pacing: writes that a live index can keep up with, by a rate and by pauses."""

from __future__ import annotations

import time

from nudge_sync.base.progress import Progress
from nudge_sync.config import WriteSettings
from nudge_sync.connector import Collection
from nudge_sync.errors import Unreachable

_POLL_SECONDS = 1.0
"""Seconds between two looks at an index that falls behind."""


class Pacer:
    """Holds each batch back until the rate and the index allow it."""

    def __init__(self, collection: Collection, settings: WriteSettings, progress: Progress) -> None:
        """Pace writes to `collection`; `progress` is called during pauses."""
        self._collection = collection
        self._settings = settings
        self._progress = progress
        self._next_write_at = 0.0
        self._waits_for_index = settings.pause_seconds > 0
        self.index_behind = ""
        """Why the index did not keep up when it was waited for in vain; "" where it was not."""

    def wait(self, rows: int, *, must_write: bool = False) -> None:
        """Return when `rows` more may be written.

        must_write: whether they are written even if the index does not recover, as in a rollback:
        it is waited for no longer than `pause_seconds` in all then.
        Raises Unreachable if the index does not recover within `pause_seconds`; what `progress`
        raises goes through, so a stop is not held up by a pause.
        """
        self._wait_for_rate(rows)
        self.wait_for_index(must_write=must_write)

    def _wait_for_rate(self, rows: int) -> None:
        if self._settings.rate is None:
            return
        while (remaining := self._next_write_at - time.monotonic()) > 0:
            self._progress("pause", 0, 0)
            time.sleep(min(remaining, _POLL_SECONDS))
        self._next_write_at = time.monotonic() + rows / self._settings.rate

    def wait_for_index(self, *, must_write: bool = False) -> None:
        """Return when the index keeps up; at once where `pause_seconds` is 0.

        Raises Unreachable if it does not within `pause_seconds`, unless `must_write`, and what
        `progress` raises.
        """
        deadline = time.monotonic() + self._settings.pause_seconds
        while self._waits_for_index and not (health := self._collection.health()).ready:
            if time.monotonic() >= deadline and must_write:
                self._waits_for_index, self.index_behind = False, health.reason
                return
            if time.monotonic() >= deadline:
                raise Unreachable(
                    f"the index did not keep up for {self._settings.pause_seconds:g} s "
                    f"({health.reason}); what is written stays noted, and `nudge-sync resume` "
                    "goes on"
                )
            self._progress("pause", 0, 0)
            time.sleep(_POLL_SECONDS)
