"""A log for applications that takes searches and clicks at once and stores them in a thread."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - see the end of this file
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Self
from uuid import uuid4
from weakref import WeakSet

import numpy as np

from nudge_sync.connector import Collection, Database, Records
from nudge_sync.feedback.schema.exposure import Exposure, to_exposure_fields
from nudge_sync.feedback.schema.fields import normalise_row
from nudge_sync.feedback.schema.plain import to_plain_row
from nudge_sync.feedback.schema.point_ids import resolve_point_ids
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.feedback.schema.rows import parse_storable_row
from nudge_sync.store.retry import RetryingCollection
from nudge_sync.store.target import open_target

QUERY_ID_KEY, POINT_ID_KEY = "nudge_query_id", "nudge_point_id"
"""Keys that the wrapped retrievers add to the metadata of what they return."""
_BATCH_SIZE = 500
_MAX_PAUSE = 30.0
_MAX_REFUSALS = 8
"""A batch that an open database refuses so many times in a row, not transiently, is dropped."""
_EXIT_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class LogCounts:
    """Counts of what became of the searches and events handed to a FeedbackLog."""

    stored: int
    waiting: int
    dropped: int
    """Lost because the queue was full or the database kept refusing them."""
    refused: int
    """Not valid searches or events; `last_error` says why."""
    last_error: str
    """The last error, however long ago; empty if there was none."""


@dataclass(frozen=True, slots=True)
class _Connection:
    queries: Records
    events: Records
    collection: Collection
    """Opened by the name that the application uses, since an alias may be pointed elsewhere."""
    dimension: int


class FeedbackLog:
    """A log of searches and their clicks, stored beside a collection for nudge-sync to learn from.

    database: an open one, or a function that opens one; the function is called in the background,
    again after each failure, and what it opened is closed with the log. vector: the name of the
    collection's vector, "" for the default one. capacity: the most rows that wait; flush_seconds:
    the time between writes.
    Only the constructor raises. Logging never waits for the database nor for a lock that the
    writing thread holds; what cannot be stored is counted in `counts`. One log serves a whole
    process; after a fork the child starts a thread of its own with its first search or event.
    """

    def __init__(
        self,
        database: Database | Callable[[], Database],
        collection: str,
        vector: str = "",
        *,
        capacity: int = 10_000,
        flush_seconds: float = 1.0,
    ) -> None:
        self._open_database: Callable[[], Database] = (
            database if callable(database) else lambda: database
        )
        self._owns_database = callable(database)
        self._collection_name, self._vector_name = collection, vector
        self._capacity, self._flush_seconds = capacity, flush_seconds
        self._closed = False
        self._stored = self._dropped = self._refused = 0
        self._last_error = ""
        self._reset()
        self._start_thread()
        _LOGS.add(self)
        atexit.register(self.close, _EXIT_TIMEOUT)

    def search(
        self,
        query_vector: Any,
        shown_ids: Sequence[Any],
        *,
        text: str = "",
        session: str = "",
        client: str = "",
        query_id: str = "",
        propensities: Sequence[float] | None = None,
        exposure: Exposure | None = None,
    ) -> str:
        """Queue a search, and return its query id, which clicks on its results are logged with.

        query_vector: (d,), the vector that was searched with, or a function that returns it and
        is called in the background; shown_ids: best first; query_id: a new one if empty;
        propensities: one in (0, 1] for each shown id; exposure: what an experiment did to the
        search, as `Experiment` hands it over.
        """
        try:
            assigned_id = query_id or f"{self._id_prefix}{next(self._counter):x}"
            row = {
                "type": "search",
                "query_id": assigned_id,
                "query_vector": _copy_vector(query_vector),
                "shown": list(shown_ids),
                "text": text,
                "session": session,
                "client": client,
                "time": time.time(),
            }
            if propensities is not None:
                row["propensities"] = list(propensities)
            if exposure is not None:
                row |= to_exposure_fields(exposure)
            self._enqueue(row)
        except Exception as error:  # noqa: BLE001 - a search never fails for its log
            self.refuse(error)
            return str(query_id)
        return assigned_id

    def click(self, query_id: str, point_id: Any, **more: Any) -> None:
        """Log that a user opened a point; `more` is passed on to `event`."""
        self.event(query_id, "click", point_id, **more)

    def relevant(self, query_id: str, point_id: Any, **more: Any) -> None:
        """Log the judgement that a point answers the query; `grade` says how well."""
        self.event(query_id, "relevant", point_id, **more)

    def not_relevant(self, query_id: str, point_id: Any, **more: Any) -> None:
        """Log the judgement that a point does not answer the query."""
        self.event(query_id, "not_relevant", point_id, **more)

    def event(self, query_id: str, action: str, point_id: Any, **more: Any) -> None:
        """Queue an event: what a user did with a point.

        action: one of `[feedback.actions]`; more: position, grade, session, client, time.
        """
        try:
            row = {"time": time.time(), **more, "type": "event"}
            self._enqueue(row | {"query_id": query_id, "action": action, "point": point_id})
        except Exception as error:  # noqa: BLE001 - an application never fails for its log
            self.refuse(error)

    def refuse(self, error: BaseException) -> None:
        """Count a search or event that could not be logged because of `error`."""
        self._refused += 1
        self._keep_error(error)

    @property
    def counts(self) -> LogCounts:
        """Counts of all searches and events so far."""
        return LogCounts(
            self._stored, len(self._queue), self._dropped, self._refused, self._last_error
        )

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything logged so far is stored, and return whether it is.

        timeout: seconds. A database that failed is tried again at most once in `flush_seconds`.
        """
        dropped, end = self._dropped, time.monotonic() + timeout
        while self._queue and time.monotonic() < end and self._is_working():
            self._drained.clear()
            self._wake.set()
            if self._queue:
                self._drained.wait(max(0.0, min(0.1, end - time.monotonic())))
        return not self._queue and self._dropped == dropped

    def close(self, timeout: float = 10.0) -> None:
        """Store what waits, for at most `timeout` seconds, and stop; may be called again."""
        if not self._closed:
            end = time.monotonic() + timeout
            self.flush(timeout)
            self._closed = True
            self._closing.set()
            self._wake.set()
            if self._thread is not None:
                self._thread.join(max(1.0, end - time.monotonic()))
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reset(self) -> None:
        """Forget what waits and what is open, at the start and in a forked child."""
        self._queue: deque[dict[str, Any]] = deque()
        self._counter, self._id_prefix = count(), uuid4().hex[:16] + "-"
        self._database: Database | None = None
        self._connection: _Connection | None = None
        self._wake, self._drained = threading.Event(), threading.Event()
        self._closing, self._start_lock = threading.Event(), threading.Lock()
        self._thread: threading.Thread | None = None

    def _start_thread(self) -> None:
        with self._start_lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="nudge-sync-log", daemon=True)
                thread.start()
                self._thread = thread

    def _keep_error(self, error: BaseException) -> None:
        self._last_error = f"{type(error).__name__}: {error}"

    def _is_working(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _enqueue(self, row: dict[str, Any]) -> None:
        if self._closed or len(self._queue) >= self._capacity:
            self._dropped += 1
            return
        if self._thread is None:
            self._start_thread()
        self._queue.append(row)

    def _run(self) -> None:
        pause = min_pause = min(self._flush_seconds, _MAX_PAUSE)
        refusals, due = 0, 0.0
        while not self._closed:
            self._wake.wait(pause)
            self._wake.clear()
            try:
                while self._queue and not self._closed:
                    self._store_batch(self._connect())
                    pause, refusals, due = min_pause, 0, 0.0
            except Exception as error:  # noqa: BLE001 - whatever a client raises, logging goes on
                self._keep_error(error)
                # Tries that a flush made early neither lengthen the pause nor count as refusals.
                if time.monotonic() >= due:
                    pause = min(2 * pause, _MAX_PAUSE)
                    due = time.monotonic() + pause
                    refusals += self._is_refused(error)
                if refusals == _MAX_REFUSALS:
                    self._drop_batch()
                    refusals = 0
                self._connection = None
                self._closing.wait(min_pause)
            self._drained.set()
        self._close_database()

    def _is_refused(self, error: Exception) -> bool:
        """Return whether an open database refused a batch, rather than being away."""
        return self._connection is not None and not getattr(error, "transient", False)

    def _drop_batch(self) -> None:
        for _ in range(min(_BATCH_SIZE, len(self._queue))):
            self._queue.popleft()
            self._dropped += 1

    def _store_batch(self, connection: _Connection) -> None:
        # Rows stay in the queue until stored, so that a failed batch is tried again.
        rows = [self._queue[i] for i in range(min(_BATCH_SIZE, len(self._queue)))]
        items = [item for row in rows if (item := self._parse_row(row, connection)) is not None]
        if len(items) < len(rows) and self._is_outdated(connection):
            # An alias was pointed at a collection of another dimension since this was connected.
            self._connection = None
            self._store_batch(self._connect())
            return
        items = resolve_point_ids(items, connection.collection)
        searches = [to_search_record(item) for item in items if isinstance(item, Search)]
        events = [to_event_record(item) for item in items if isinstance(item, Event)]
        if searches:
            connection.queries.put(list({record.key: record for record in searches}.values()))
        if events:
            connection.events.put(list({record.key: record for record in events}.values()))
        self._stored += len(items)
        self._refused += len(rows) - len(items)
        for _ in rows:
            self._queue.popleft()

    def _parse_row(self, row: dict[str, Any], connection: _Connection) -> Search | Event | None:
        try:
            if callable(row.get("query_vector")):
                row["query_vector"] = row["query_vector"]()
            fields = normalise_row(to_plain_row(row))
            return parse_storable_row(fields, connection.dimension)
        except Exception as bad:  # noqa: BLE001 - one row, or its function, spoils no other
            self._keep_error(bad)
            return None

    def _is_outdated(self, connection: _Connection) -> bool:
        """Return whether vectors of the collection have another dimension by now."""
        return connection.collection.describe().dimension != connection.dimension

    def _connect(self) -> _Connection:
        if self._database is None:
            self._database = self._open_database()
        if self._connection is None:
            target = open_target(self._database, self._collection_name, self._vector_name)
            collection = RetryingCollection(
                self._database.collection(self._collection_name, self._vector_name)
            )
            dimension = target.facts.dimension
            self._connection = _Connection(target.queries, target.events, collection, dimension)
        return self._connection

    def _close_database(self) -> None:
        if self._owns_database and self._database is not None:
            try:
                self._database.close()
            except Exception as error:  # noqa: BLE001
                self._keep_error(error)


def _copy_vector(vector: Any) -> Any:
    """Return a copy that the caller cannot change; a function that returns a vector stays."""
    if callable(vector):
        return vector
    return vector.copy() if isinstance(vector, np.ndarray) else list(vector)


def _flush_logs() -> None:
    for log in list(_LOGS):
        log.flush(_EXIT_TIMEOUT)


def _reset_logs() -> None:
    for log in list(_LOGS):
        log._reset()  # noqa: SLF001


_LOGS: WeakSet[FeedbackLog] = WeakSet()
os.register_at_fork(after_in_child=_reset_logs)
# At exit, Milvus Lite stores nothing more once concurrent.futures has ended its threads. What is
# registered last runs first: hence the import of concurrent.futures above. The logs are closed by
# atexit, since threads of the application may still run and log until then.
getattr(threading, "_register_atexit", atexit.register)(_flush_logs)
