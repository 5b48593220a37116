"""The connection of an application's process to the collection that experiments run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import RLock

from nudge_sync.connector import Collection, Database
from nudge_sync.errors import DatabaseError, NudgeSyncError
from nudge_sync.store.target import Target, open_target


class ApplicationConnection:
    """Opens a database when it is first needed, and again after an error.

    database: an open one, which stays its owner's, or a function that opens one.
    """

    def __init__(
        self, database: Database | Callable[[], Database], collection: str, vector: str
    ) -> None:
        self._open: Callable[[], Database] = database if callable(database) else lambda: database
        self._is_owner = callable(database)
        self._name, self._vector = collection, vector
        self._lock = RLock()
        self._database: Database | None = None
        self._collection: Collection | None = None

    @contextmanager
    def open_target(self) -> Iterator[Target]:
        """Yield the collection with what is kept beside it.

        An error of the database, or of its client, closes the connection; one of the records does
        not, since searches may be using it.
        """
        try:
            yield open_target(self._get_database(), self._name, self._vector)
        except Exception as error:
            if isinstance(error, DatabaseError) or not isinstance(error, NudgeSyncError):
                self.close()
            raise

    def get_collection(self) -> Collection:
        """Return the collection, without the retries that `open_target` adds.

        By the name that the application uses: an alias may be pointed elsewhere.
        """
        with self._lock:
            if self._collection is None:
                self._collection = self._get_database().collection(self._name, self._vector)
            return self._collection

    def close(self) -> None:
        """Close what a function opened; it is opened again when it is needed."""
        with self._lock:
            database, self._database, self._collection = self._database, None, None
        if self._is_owner and database is not None:
            with suppress(Exception):
                database.close()

    def reset(self) -> None:
        """Forget the connection, which a forked child must not use."""
        self._lock = RLock()
        self._database = self._collection = None

    def _get_database(self) -> Database:
        with self._lock:
            if self._database is None:
                self._database = self._open()
            return self._database
