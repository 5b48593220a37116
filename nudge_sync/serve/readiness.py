"""Whether the database answers: asked at the start, and again while the daemon runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any

from nudge_sync.config import Config
from nudge_sync.connector import Database
from nudge_sync.errors import ConfigError, NudgeSyncError
from nudge_sync.serve.jobs.collection_jobs import CollectionJobs
from nudge_sync.serve.jobs.schedule import has_cycles
from nudge_sync.serve.log_lines import log_message
from nudge_sync.store.hold import read_hold
from nudge_sync.store.target import open_target

_CLOSE_SECONDS = 5.0


@dataclass
class DatabaseProbe:
    """Asks the database whether it answers, so that readiness does not wait for the next cycle.

    An embedded database lets one connection in. It is asked again only after it did not answer,
    so that cycles, feedback and the command line find it free.
    """

    jobs: CollectionJobs
    """Opens the database, and keeps for which collections it did not answer the last time."""
    retry_seconds: float = 10.0
    """Between two questions while the database does not answer."""
    check_seconds: float = 60.0
    """Between two questions while a server answers."""
    _is_embedded: bool | None = field(default=None, init=False)
    """Whether the database that was asked last is; None: it has not answered yet."""
    _asked: tuple[str, Any] | None = field(default=None, init=False)
    """The connector and connection of the last question."""
    _has_failed: bool = field(default=False, init=False)
    _checked_at: float = field(default=0.0, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def check(self) -> NudgeSyncError | None:
        """Ask the database, and for each collection that it did not answer for; return why it
        failed, or None.
        """
        config, failure = self.jobs.config, None
        with self._lock, self._keep_others_out(config):
            self._checked_at = time.monotonic()
            try:
                with closing(self.jobs.connect()) as database:
                    self._is_embedded = database.describe().storage_path is not None
                    for name in list(self.jobs.unreachable_reasons):
                        self._check_collection(database, config, name)
            except NudgeSyncError as error:
                failure = error
                reasons = dict.fromkeys(config.collections, str(error))
                self.jobs.unreachable_reasons.update(reasons)
            self._log_change(failure)
            return failure

    def _keep_others_out(self, config: Config) -> AbstractContextManager[object]:
        """Return what keeps feedback waiting, as an embedded database lets one connection in.

        A server lets in whoever comes, and may be slow for one collection alone.
        """
        database = (config.connector, config.connection)
        if database != self._asked:
            self._asked, self._is_embedded = database, None
        return nullcontext() if self._is_embedded is False else self.jobs.connection_lock

    @contextmanager
    def keep_checking(self) -> Iterator[None]:
        """Ask again, in a thread, while inside."""
        is_over = Event()
        thread = Thread(target=self._check_until, args=[is_over], name="readiness", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join(_CLOSE_SECONDS)

    def _check_collection(self, database: Database, config: Config, name: str) -> None:
        """Find whether the database answers for a collection, and whether that is on hold.

        What else is wrong with a collection is left to its cycle.
        """
        settings = config.collections.get(name)
        try:
            if settings is not None:
                target = open_target(database, name, settings.vector, patience=0.0)
                if has_cycles(settings.schedule):
                    is_on_hold = read_hold(target) is not None
                    self.jobs.prometheus.set_on_hold(name, is_on_hold=is_on_hold)
        except NudgeSyncError as error:
            if error.transient:
                self.jobs.unreachable_reasons[name] = str(error)
                return
        self.jobs.unreachable_reasons.pop(name, None)

    def _check_until(self, is_over: Event) -> None:
        while not is_over.wait(self.retry_seconds):
            is_due = time.monotonic() - self._checked_at >= self.check_seconds
            if self.jobs.unreachable_reasons or (is_due and not self._is_embedded):
                try:
                    self.check()
                except Exception as error:  # noqa: BLE001 - a bug must not end the thread
                    kind = type(error).__name__
                    log_message(logging.ERROR, "the database could not be asked", error=kind)

    def _log_change(self, failure: NudgeSyncError | None) -> None:
        if failure is not None and not self._has_failed:
            is_refused = isinstance(failure, ConfigError)
            message = "[database] is refused" if is_refused else "the database does not answer"
            log_message(logging.WARNING, message, reason=str(failure))
        elif failure is None and self._has_failed:
            log_message(logging.INFO, "the database answers again")
        self._has_failed = failure is not None
