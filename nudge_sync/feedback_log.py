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
from nudge_sync.feedback.schema.plain import copied, plain
from nudge_sync.feedback.schema.point_ids import matched
from nudge_sync.feedback.schema.records import Event, Search, event_record, search_record
from nudge_sync.feedback.schema.rows import interpreted
from nudge_sync.store.retry import patient_collection
from nudge_sync.store.target import open_target

QUERY_ID, POINT_ID = "nudge_query_id", "nudge_point_id"
"""What wrapped retrievers call them in the metadata of what they return."""
_BATCH = 500
_LONGEST_PAUSE = 30.0
_HOPELESS = 8
"""Times in a row that an open database refuses a batch, not in passing, until it is let go."""
_EXIT_SECONDS = 2.0


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
class _Place:
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
        self._open: Callable[[], Database] = database if callable(database) else lambda: database
        self._opens = callable(database)
        self._collection, self._vector = collection, vector
        self._capacity, self._pause = capacity, flush_seconds
        self._closed = False
        self._stored = self._dropped = self._refused = 0
        self._last_error = ""
        self._begin()
        self._start()
        _LOGS.add(self)
        atexit.register(self.close, _EXIT_SECONDS)

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
            known = query_id or f"{self._prefix}{next(self._numbers):x}"
            row = {
                "type": "search",
                "query_id": known,
                "query_vector": copied(query_vector),
                "shown": list(shown_ids),
                "text": text,
                "session": session,
                "client": client,
                "time": time.time(),
            }
            if propensities is not None:
                row["propensities"] = list(propensities)
            self._offer(row)
        except Exception as error:  # noqa: BLE001 - a search never fails for its log
            self.refuse(error)
            return str(query_id)
        return known

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
            self._offer(row | {"query_id": query_id, "action": action, "point": point_id})
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
            self._emptied.clear()
            self._wake.set()
            if self._queue:
                self._emptied.wait(max(0.0, min(0.1, end - time.monotonic())))
        return not self._queue and self._dropped == dropped

    def close(self, timeout: float = 10.0) -> None:
        """Store what waits, for so long at most, and stop; may be called twice."""
        if not self._closed:
            end = time.monotonic() + timeout
            self.flush(timeout)
            self._closed = True
            self._ending.set()
            self._wake.set()
            if self._thread is not None:
                self._thread.join(max(1.0, end - time.monotonic()))
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> None:
        """Have nothing waiting and nothing open: in a new process."""
        self._queue: deque[dict[str, Any]] = deque()
        self._numbers, self._prefix = count(), uuid4().hex[:16] + "-"
        self._database: Database | None = None
        self._place: _Place | None = None
        self._wake, self._emptied = threading.Event(), threading.Event()
        self._ending, self._starting = threading.Event(), threading.Lock()
        self._thread: threading.Thread | None = None

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="nudge-sync-log", daemon=True)
                thread.start()
                self._thread = thread

    def _is_working(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _offer(self, row: dict[str, Any]) -> None:
        if self._closed or len(self._queue) >= self._capacity:
            self._dropped += 1
            return
        if self._thread is None:
            self._start()
        self._queue.append(row)

    def _work(self) -> None:
        pause = shortest = min(self._pause, _LONGEST_PAUSE)
        refusals, due = 0, 0.0
        while not self._closed:
            self._wake.wait(pause)
            self._wake.clear()
            try:
                while self._queue and not self._closed:
                    self._store_some(self._opened())
                    pause, refusals, due = shortest, 0, 0.0
            except Exception as error:  # noqa: BLE001 - whatever a client raises, logging goes on
                self._last_error = f"{type(error).__name__}: {error}"
                # What a flush had tried early counts for nothing, however often it is called.
                if time.monotonic() >= due:
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    due = time.monotonic() + pause
                    refusals += self._is_refused(error)
                if refusals == _HOPELESS:
                    self._give_up_on_some()
                    refusals = 0
                self._place = None
                self._ending.wait(shortest)
            self._emptied.set()
        self._let_go()

    def _is_refused(self, error: Exception) -> bool:
        """Whether an open database would not take a batch, rather than being away."""
        return self._place is not None and not getattr(error, "transient", False)

    def _give_up_on_some(self) -> None:
        for _ in range(min(_BATCH, len(self._queue))):
            self._queue.popleft()
            self._dropped += 1

    def _store_some(self, place: _Place) -> None:
        # Left in the queue until stored: a failed batch is tried again, and counts as waiting.
        rows = [self._queue[at] for at in range(min(_BATCH, len(self._queue)))]
        items = [item for row in rows if (item := self._interpret(row, place)) is not None]
        items = matched(items, place.collection)
        searches = [search_record(item) for item in items if isinstance(item, Search)]
        events = [event_record(item) for item in items if isinstance(item, Event)]
        if searches:
            place.queries.put(list({record.key: record for record in searches}.values()))
        if events:
            place.events.put(list({record.key: record for record in events}.values()))
        self._stored += len(items)
        self._refused += len(rows) - len(items)
        for _ in rows:
            self._queue.popleft()

    def _interpret(self, row: dict[str, Any], place: _Place) -> Search | Event | None:
        try:
            if callable(row.get("query_vector")):
                row["query_vector"] = row["query_vector"]()
            return interpreted(plain(row), place.dimension)
        except Exception as bad:  # noqa: BLE001 - one row, or its function, spoils no other
            self._last_error = f"{type(bad).__name__}: {bad}"
            return None

    def _opened(self) -> _Place:
        if self._database is None:
            self._database = self._open()
        if self._place is None:
            target = open_target(self._database, self._collection, self._vector)
            named = patient_collection(self._database.collection(self._collection, self._vector))
            dimension = target.facts.dimension
            self._place = _Place(target.queries, target.events, named, dimension)
        return self._place

    def _let_go(self) -> None:
        if self._opens and self._database is not None:
            try:
                self._database.close()
            except Exception as error:  # noqa: BLE001
                self._last_error = f"{type(error).__name__}: {error}"


def _store_what_waits() -> None:
    for log in list(_LOGS):
        log.flush(_EXIT_SECONDS)


def _begin_in_child() -> None:
    for log in list(_LOGS):
        log._begin()  # noqa: SLF001


_LOGS: WeakSet[FeedbackLog] = WeakSet()
os.register_at_fork(after_in_child=_begin_in_child)
# Before concurrent.futures lets go of its threads, without which Milvus Lite stores nothing more:
# what is registered last runs first, hence the import. Threads of the application may still run
# and log: the logs are closed by atexit.
getattr(threading, "_register_atexit", atexit.register)(_store_what_waits)
