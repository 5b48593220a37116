"""How the console opens the database: for one request or one piece of work, and closes it again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from threading import Lock

from nudge_sync.config import CollectionSettings, Config
from nudge_sync.connector import Database
from nudge_sync.errors import Unreachable
from nudge_sync.store.target import Target, open_target

_LOGGER = logging.getLogger("nudge_sync")
LOCK_SECONDS = 3.0
"""How long a page waits for an embedded database, which lets one connection in."""


@dataclass
class _Session:
    """An embedded database that is open, and how many use it."""

    database: Database
    user_count: int = 1
    may_be_joined: bool = True
    """Until whoever opened it has done: others must not keep it open for ever."""


@dataclass
class DatabaseOpener:
    """Opens the collections of one configuration, to be read.

    A server is connected to each time. Of an embedded database there is one connection: pages that
    are asked for while the console's own work has it open look through that one.
    """

    config: Config
    connect: Callable[[], Database]
    lock: Lock = field(default_factory=Lock)
    """Held while an embedded database is open; the daemon's cycles and batches hold it too."""
    _session: _Session | None = field(default=None, init=False)
    _session_lock: Lock = field(default_factory=Lock, init=False)
    _closer: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="console-closer"),
        init=False,
    )
    """Closes what pages have read: that waits for the disk, and no reader needs to."""

    @contextmanager
    def open_target(self, name: str, *, waits_long: bool = False) -> Iterator[Target]:
        """Open the collection that the configuration calls `name`; it is closed at the end.

        waits_long: as patient as a cycle; otherwise a page says soon that nothing answers.
        Raises Unreachable also while others use an embedded database, and DatabaseError.
        """
        patience = self.config.patience if waits_long else 0.0
        with self._open_database(max(patience, LOCK_SECONDS), waits_long) as database:
            yield open_target(database, name, self.get_settings(name).vector, patience)

    def get_settings(self, name: str) -> CollectionSettings:
        """Return the settings of the collection `name`, which the configuration has."""
        return self.config.collections[name]

    def close(self) -> None:
        """Wait until everything is closed; nothing can be opened afterwards."""
        self._closer.shutdown()

    @contextmanager
    def _open_database(self, lock_seconds: float, closes_at_once: bool) -> Iterator[Database]:  # noqa: FBT001
        session = self._join_session()
        if session is None:
            database = self.connect()
            # A server lets everybody in: nobody waits for a page or a plan there.
            if database.describe().storage_path is None:
                with closing(database):
                    yield database
                return
            session = self._begin_session(database, lock_seconds)
            try:
                yield database
            finally:
                session.may_be_joined = False
                self._leave_session(session, closes_at_once=closes_at_once)
            return
        try:
            yield session.database
        finally:
            self._leave_session(session, closes_at_once=closes_at_once)

    def _join_session(self) -> _Session | None:
        with self._session_lock:
            if self._session is None or not self._session.may_be_joined:
                return None
            self._session.user_count += 1
            return self._session

    def _begin_session(self, database: Database, lock_seconds: float) -> _Session:
        if not self.lock.acquire(timeout=lock_seconds):
            database.close()
            raise Unreachable("a cycle or other work uses the embedded database; try again soon")
        with self._session_lock:
            self._session = _Session(database)
            return self._session

    def _leave_session(self, session: _Session, *, closes_at_once: bool) -> None:
        """Leave the session; whoever is the last to leave closes it.

        closes_at_once: for work that may have written, which fails where its end is not stored.
        """
        with self._session_lock:
            session.user_count -= 1
            if session.user_count:
                return
            self._session = None
        if closes_at_once:
            self._close(session.database)
        else:
            self._closer.submit(self._close_read, session.database)

    def _close(self, database: Database) -> None:
        try:
            database.close()
        finally:
            self.lock.release()

    def _close_read(self, database: Database) -> None:
        try:
            self._close(database)
        except Exception as error:  # noqa: BLE001 - nobody waits for it
            _LOGGER.warning("console: closing the database: %s", type(error).__name__)
