"""Threads that run the jobs that are due, first whichever has waited longest for its turn."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from heapq import heappop, heappush
from itertools import count
from threading import Condition, Thread
from typing import Any, TypeAlias

from apscheduler.executors.pool import BasePoolExecutor
from apscheduler.job import Job

_Task: TypeAlias = tuple[float, int, Future[Any], Callable[[], Any]]
"""Rank, order of arrival, and what is to be run; the lowest rank and the first arrival go first."""

_GATHERING_SECONDS = 0.1
"""How long an idle thread waits for further jobs that come due at the same moment."""


class FairExecutor(BasePoolExecutor):  # type: ignore[misc]
    """An executor of APScheduler that runs jobs by rank instead of in the order they come due.

    Jobs of one interval all come due at once, and always in the same order. Where there is no time
    for all of them, those at the end would never run.
    """

    def __init__(self, size: int, rank_job: Callable[[Job], float]) -> None:
        """Start `size` threads.  rank_job: is asked when a job comes due; the lowest runs first."""
        super().__init__(_FairPool(size, rank_job))


class _FairPool:
    """Threads beside a queue of tasks in the order of their ranks."""

    def __init__(self, size: int, rank_job: Callable[[Job], float]) -> None:
        self._rank_job = rank_job
        self._arrivals = count()
        self._tasks: list[_Task] = []
        self._changed = Condition()
        self._is_closed = False
        self._threads = [
            Thread(target=self._run_tasks, name=f"nudge-sync-job-{number}", daemon=True)
            for number in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have `function` called; the first of `args` is the job that it is called for."""
        future: Future[Any] = Future()
        job: Job = args[0]
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the executor is shut down")
            rank = self._rank_job(job)
            task = (rank, next(self._arrivals), future, lambda: function(*args, **kwargs))
            heappush(self._tasks, task)
            self._changed.notify()
        return future

    def shutdown(self, wait: bool) -> None:  # noqa: FBT001 - so APScheduler calls it
        """Take no more jobs; those that wait still run.  wait: return once they have ended."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if wait:
            for thread in self._threads:
                thread.join()

    def _run_tasks(self) -> None:
        while True:
            with self._changed:
                if not self._tasks:
                    self._changed.wait_for(lambda: self._tasks or self._is_closed)
                    # Of jobs that come due at once, the first to arrive need not be the first.
                    self._changed.wait_for(lambda: self._is_closed, _GATHERING_SECONDS)
                if self._tasks:
                    _, _, future, call = heappop(self._tasks)
                elif self._is_closed:
                    return
                else:
                    continue
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - whoever asked is told
                future.set_exception(error)
            else:
                future.set_result(result)
