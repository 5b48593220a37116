"""The experiments of the daemon's collections, for those who ask over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from nudge_sync.connector import Database
from nudge_sync.errors import Unreachable
from nudge_sync.experiment.questions import Answerer
from nudge_sync.experiment.rank import Ranker, Request
from nudge_sync.experiment.ranked import Ranked
from nudge_sync.experiment.search import ArmSearcher
from nudge_sync.experiment.watch import ExperimentWatcher, WatchSettings
from nudge_sync.feedback.ingest.batches import BatchImporter
from nudge_sync.serve.experiments.search_log import BatchSearchLog
from nudge_sync.store.target import Target, open_target

_SEARCH_DEADLINE = 2.0
"""Seconds that the further requests of one search may take."""
_LOCK_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
_READY_SECONDS = 1.0
"""How long the first ranking of a collection waits until it is known what runs."""


@dataclass(frozen=True, slots=True)
class _Served:
    watcher: ExperimentWatcher
    ranker: Ranker
    log: BatchSearchLog


@dataclass
class ExperimentService:
    """Ranks and searches, one collection as another; each is looked at from its first call on.

    Every look and every search opens the database and closes it again, as batches of feedback do.
    """

    importer: BatchImporter
    """Knows the collections, opens the database, and stores the searches."""
    settings: WatchSettings = field(default_factory=WatchSettings)
    _served: dict[str, _Served] = field(default_factory=dict, init=False)
    _start_lock: Lock = field(default_factory=Lock, init=False)
    _answerer: Answerer = field(default_factory=Answerer, init=False)

    def rank(self, name: str, request: Request) -> tuple[Ranked, int]:
        """Return the list to show, and how many results to ask for the next time."""
        served = self._get_served(name)
        loaded = served.watcher.current
        ranked = self._answerer.run(served.ranker.rank(loaded, request), None, None, 0.0)
        return ranked, self._suggest_depth(served, request)

    def search(self, name: str, request: Request, filter_: Any) -> tuple[Ranked, int]:
        """Return the list to show, and how many results a search of one's own should ask for.

        Raises DatabaseError, and InputError for a query or a filter that is none.
        """
        served = self._get_served(name)
        with self._open_database() as database:
            collection = database.collection(name, self.importer.vector_names[name])
            searcher = ArmSearcher(collection, served.ranker, self._answerer, _SEARCH_DEADLINE)
            ranked = searcher.search(served.watcher.current, request, filter_)
        return ranked, self._suggest_depth(served, request)

    def close(self) -> None:
        """Store what waits, and stop."""
        for served in self._served.values():
            served.watcher.close(_CLOSE_SECONDS)
            served.log.close(_CLOSE_SECONDS)
        self._answerer.close()

    def _suggest_depth(self, served: _Served, request: Request) -> int:
        return served.ranker.suggest_depth(
            served.watcher.current, request.k, request.session, request.client
        )

    def _get_served(self, name: str) -> _Served:
        with self._start_lock:
            if name not in self._served:
                log = BatchSearchLog(self.importer, name)
                watcher = ExperimentWatcher(self._build_opener(name), self.settings)
                watcher.wait(_READY_SECONDS)
                self._served[name] = _Served(watcher, Ranker(log), log)
            return self._served[name]

    def _build_opener(self, name: str) -> Callable[[], Any]:
        @contextmanager
        def open_collection() -> Iterator[Target]:
            with self._open_database() as database:
                # Without retries: batches of feedback wait for the lock meanwhile.
                yield open_target(database, name, self.importer.vector_names[name], patience=0.0)

        return open_collection

    @contextmanager
    def _open_database(self) -> Iterator[Database]:
        if not self.importer.lock.acquire(timeout=_LOCK_SECONDS):
            raise Unreachable("other requests use the database")
        try:
            database = self.importer.open_database()
            try:
                yield database
            finally:
                database.close()
        finally:
            self.importer.lock.release()
