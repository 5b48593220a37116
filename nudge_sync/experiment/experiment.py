"""The door of an application to experiments on its own traffic."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Self
from weakref import WeakSet

from nudge_sync.connector import Database
from nudge_sync.experiment.connection import ApplicationConnection
from nudge_sync.experiment.questions import Answerer, AsyncCallback, Callback
from nudge_sync.experiment.rank import Ranker, Request, list_results
from nudge_sync.experiment.ranked import ExperimentCounts, ExposureLog, Ranked
from nudge_sync.experiment.search import ArmSearcher
from nudge_sync.experiment.watch import ExperimentWatcher, WatchSettings

_CLOSE_SECONDS = 2.0


class Experiment:
    """Shows each session the arm of the experiment that the sidecar runs, and logs what was shown.

    database: an open one, or a function that opens one, as for `FeedbackLog`. vector: the name of
    the collection's vector, "" for the default one. log: a `FeedbackLog` of the same collection;
    without one nothing can be learned from the experiment. deadline: seconds that a ranking may
    wait for `admits` and `more`. refresh_seconds: between two looks at what the sidecar states;
    check_seconds: between two looks for points of the overlay that the application deleted or
    embedded again; max_overlay_bytes: the most memory that the overlay's vectors may take.
    Only the constructor raises, and `search` where the database does. While nothing runs, or what
    runs is not known, results come back as they are. One object serves a whole process, with any
    number of threads; a forked child starts anew.
    """

    def __init__(
        self,
        database: Database | Callable[[], Database],
        collection: str,
        vector: str = "",
        *,
        log: ExposureLog | None = None,
        deadline: float = 0.05,
        refresh_seconds: float = 30.0,
        check_seconds: float = 600.0,
        max_overlay_bytes: int = 2**29,
    ) -> None:
        settings = WatchSettings(refresh_seconds, check_seconds, max_overlay_bytes)
        self._connection = ApplicationConnection(database, collection, vector)
        self._watcher = ExperimentWatcher(self._connection.open_target, settings)
        self._ranker = Ranker(log)
        self._answerer = Answerer()
        self._deadline = deadline
        self._watcher.start()
        _EXPERIMENTS.add(self)

    def depth(self, k: int, *, session: str = "", client: str = "") -> int:
        """Return how many results to search for, so that `rank` seldom has to ask for more.

        `k` itself where the session's list stays as it is.
        """
        return self._ranker.suggest_depth(self._watcher.current, k, session, client)

    def rank(
        self,
        query_vector: Any,
        results: Sequence[Any],
        k: int,
        *,
        session: str = "",
        client: str = "",
        text: str = "",
        query_id: str = "",
        limit: int | None = None,
        filtered: bool = False,
        admits: Callback | None = None,
        more: Callback | None = None,
    ) -> Ranked:
        """Return the `k` results to show in place of the application's own, and log the search.

        results: of the application's search, best first, at least k and better `depth(k)` of them:
        qdrant-client's `ScoredPoint`, pymilvus's `Hit`, or pairs of an id and a score that grows
        with nearness. limit: how many were asked for; where fewer came, there are no more.
        filtered: whether the search had a filter.  admits(ids): returns those of some points that
        exist and pass the filter, as ids or as the client returns points; called in another thread.
        Without it, a filtered search shows moved points only where it found them itself.
        more(limit): the same search again, for that many results; called in another thread.
        """
        request = Request(
            query_vector,
            list_results(results),
            k,
            session,
            client,
            text,
            query_id,
            limit,
            is_filtered=filtered,
            can_ask=admits is not None,
        )
        steps = self._ranker.rank(self._watcher.current, request)
        return self._answerer.run(steps, admits, more, self._deadline)

    async def arank(
        self,
        query_vector: Any,
        results: Sequence[Any],
        k: int,
        *,
        session: str = "",
        client: str = "",
        text: str = "",
        query_id: str = "",
        limit: int | None = None,
        filtered: bool = False,
        admits: AsyncCallback | None = None,
        more: AsyncCallback | None = None,
    ) -> Ranked:
        """Return what `rank` does, with callbacks that are awaited in the running event loop."""
        request = Request(
            query_vector,
            list_results(results),
            k,
            session,
            client,
            text,
            query_id,
            limit,
            is_filtered=filtered,
            can_ask=admits is not None,
        )
        steps = self._ranker.rank(self._watcher.current, request)
        return await self._answerer.run_async(steps, admits, more, self._deadline)

    def search(
        self,
        query_vector: Any,
        k: int,
        *,
        filter: Any = None,  # noqa: A002 - the word of both databases
        session: str = "",
        client: str = "",
        text: str = "",
        query_id: str = "",
    ) -> Ranked:
        """Return the `k` best points, as pairs of an id and a score, and log the search.

        The search goes through nudge-sync's connector. filter: of the database's own: a
        qdrant-client `Filter`, or an expression for Milvus. Raises what the connector raises, and
        UnsupportedCollection for a filter on a connector that takes none.
        """
        searcher = ArmSearcher(
            self._connection.get_collection(), self._ranker, self._answerer, self._deadline
        )
        request = Request(query_vector, (), k, session, client, text, query_id)
        return searcher.search(self._watcher.current, request, filter)

    @property
    def counts(self) -> ExperimentCounts:
        """Counts of all searches of this process so far."""
        tally = self._ranker.tally
        return ExperimentCounts(
            dict(tally.searches),
            dict(tally.fallbacks),
            self._watcher.failures,
            tally.last_error or self._watcher.last_error,
        )

    def wait_until_ready(self, timeout: float = 10.0) -> bool:
        """Wait until the database was first asked what runs; return whether it answered.

        timeout: seconds. Nobody has to call it: before, searches keep the collection's own lists.
        """
        return self._watcher.wait(timeout)

    def refresh(self) -> None:
        """Look now at what the sidecar states, in the calling thread; raises nothing."""
        self._watcher.refresh()

    def close(self) -> None:
        """Stop looking; rankings go on without an experiment. May be called again."""
        self._watcher.close(_CLOSE_SECONDS)
        self._answerer.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reset(self) -> None:
        self._connection.reset()
        self._watcher.reset()
        self._answerer.reset()


def _reset_experiments() -> None:
    for experiment in list(_EXPERIMENTS):
        experiment._reset()  # noqa: SLF001


_EXPERIMENTS: WeakSet[Experiment] = WeakSet()
os.register_at_fork(after_in_child=_reset_experiments)
