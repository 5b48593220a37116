"""Feedback from an application, in one line a search: queued at once, stored in the background."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - see the end
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

from nudge_sync.connector import Collection, Database, Records
from nudge_sync.feedback.schema.plain import copy_vector, to_plain_row
from nudge_sync.feedback.schema.point_ids import resolve_point_ids
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.feedback.schema.rows import parse_storable_row
from nudge_sync.store.retry import RetryingCollection
from nudge_sync.store.target import open_target

QUERY_ID_KEY, POINT_ID_KEY = "nudge_query_id", "nudge_point_id"
"""What wrapped retrievers call them in the metadata of what they return."""
_BATCH_SIZE = 500
_MAX_PAUSE = 30.0
_MAX_REFUSALS = 8
"""Times in a row that an open database refuses a batch, not in passing, until it is let go."""
_EXIT_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class LogCounts:
    """What became of everything handed to a FeedbackLog."""

    stored: int
    waiting: int
    dropped: int
    """The queue was full, or the database would not take them: too slow, or away, for too long."""
    refused: int
    """Not a search or an event: see `last_error`."""
    last_error: str
    """What went wrong last, whenever that was; empty if nothing ever did."""


@dataclass(frozen=True, slots=True)
class _Connection:
    queries: Records
    events: Records
    collection: Collection
    """By the name that the application uses: an alias may be pointed elsewhere."""
    dimension: int


class FeedbackLog:
    """Writes searches and what came of them beside a collection, for nudge-sync to learn from.

    `database`: an open one, or a function that opens one, which is then called in the background
    and may fail as often as it likes; what it opened is closed with the log. No method but the
    constructor ever raises, waits for the database or holds a lock that a writer holds: what
    cannot be taken is counted, see `counts`. Use one for the whole process; after a fork the child
    starts its own thread, with its first search or event.
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
    ) -> str:
        """The query id, to be handed back with clicks; the search is stored later.

        query_vector: (d,), as it was searched with, or a function that gives it, called in the
        background; shown_ids: best first.
        """
        try:
            assigned_id = query_id or f"{self._id_prefix}{next(self._counter):x}"
            row = {
                "type": "search",
                "query_id": assigned_id,
                "query_vector": copy_vector(query_vector),
                "shown": list(shown_ids),
                "text": text,
                "session": session,
                "client": client,
                "time": time.time(),
            }
            if propensities is not None:
                row["propensities"] = list(propensities)
            self._enqueue(row)
        except Exception as error:  # noqa: BLE001 - a search never fails for its log
            self.refuse(error)
            return str(query_id)
        return assigned_id

    def click(self, query_id: str, point_id: Any, **more: Any) -> None:
        """Somebody opened a point; `more` as for `event`."""
        self.event(query_id, "click", point_id, **more)

    def relevant(self, query_id: str, point_id: Any, **more: Any) -> None:
        """Somebody said that a point answers the query; `grade` says how well."""
        self.event(query_id, "relevant", point_id, **more)

    def not_relevant(self, query_id: str, point_id: Any, **more: Any) -> None:
        """Somebody said that it does not."""
        self.event(query_id, "not_relevant", point_id, **more)

    def event(self, query_id: str, action: str, point_id: Any, **more: Any) -> None:
        """Anything else somebody did; `more`: position, grade, session, client, time."""
        try:
            row = {"time": time.time(), **more, "type": "event"}
            self._enqueue(row | {"query_id": query_id, "action": action, "point": point_id})
        except Exception as error:  # noqa: BLE001
            self.refuse(error)

    def refuse(self, error: BaseException) -> None:
        """Count something that could not be logged, for `error`."""
        self._refused += 1
        self._last_error = f"{type(error).__name__}: {error}"

    @property
    def counts(self) -> LogCounts:
        """What became of everything so far."""
        return LogCounts(
            self._stored, len(self._queue), self._dropped, self._refused, self._last_error
        )

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that was logged so far is stored; whether it is.

        A database that failed is asked again, at most once in `flush_seconds`.
        """
        dropped, end = self._dropped, time.monotonic() + timeout
        while self._queue and time.monotonic() < end and self._is_working():
            self._drained.clear()
            self._wake.set()
            if self._queue:
                self._drained.wait(max(0.0, min(0.1, end - time.monotonic())))
        return not self._queue and self._dropped == dropped

    def close(self, timeout: float = 10.0) -> None:
        """Store what waits, for so long at most, and stop; may be called twice."""
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
        """Have nothing waiting and nothing open: in a new process."""
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
                self._last_error = f"{type(error).__name__}: {error}"
                # What a flush had tried early counts for nothing, however often it is called.
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
        """Whether an open database would not take a batch, rather than being away."""
        return self._connection is not None and not getattr(error, "transient", False)

    def _drop_batch(self) -> None:
        for _ in range(min(_BATCH_SIZE, len(self._queue))):
            self._queue.popleft()
            self._dropped += 1

    def _store_batch(self, connection: _Connection) -> None:
        # Left in the queue until stored: a failed batch is tried again, and counts as waiting.
        rows = [self._queue[i] for i in range(min(_BATCH_SIZE, len(self._queue)))]
        items = [item for row in rows if (item := self._parse_row(row, connection)) is not None]
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
            return parse_storable_row(to_plain_row(row), connection.dimension)
        except Exception as bad:  # noqa: BLE001 - one row, or its function, spoils no other
            self._last_error = f"{type(bad).__name__}: {bad}"
            return None

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
                self._last_error = f"{type(error).__name__}: {error}"


def _flush_logs() -> None:
    for log in list(_LOGS):
        log.flush(_EXIT_TIMEOUT)


def _reset_logs() -> None:
    for log in list(_LOGS):
        log._reset()  # noqa: SLF001


_LOGS: WeakSet[FeedbackLog] = WeakSet()
os.register_at_fork(after_in_child=_reset_logs)
# Before concurrent.futures lets go of its threads, without which Milvus Lite stores nothing more:
# what is registered last runs first, hence the import. Threads of the application may still run
# and log: the logs are closed by atexit.
getattr(threading, "_register_atexit", atexit.register)(_flush_logs)
