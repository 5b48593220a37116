"""The executor whose tasks run on the workers of a Dask cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

from distributed import Client, Future
from distributed.scheduler import KilledWorker

from nudge_sync.base.executor import Shared
from nudge_sync.base.progress import Progress
from nudge_sync.base.threads import Item, Result, limit_threads
from nudge_sync.compute.tasks import Task, describe_environment, run_task
from nudge_sync.errors import ComputeFailed, NudgeSyncError

MAX_LOSSES = 3
"""How often a task is sent again that was lost with what it needs; where only its worker was lost,
Dask runs it elsewhere, as often as its own `allowed-failures` says."""
WAIT_SECONDS = 60.0
"""How long to wait for a worker where the cluster has none."""
_POLL_SECONDS = 0.02
_LOOK_SECONDS = 1.0
"""How often the scheduler is asked whether it has workers."""
_PROGRESS_STAGE = "tasks on workers"


class DaskExecutor:
    """Sends all tasks at once, and gives results in the order of the items.

    What all tasks share is sent once to each worker. A task whose worker dies runs on another one.
    """

    def __init__(self, client: Client, address: str, threads: int, progress: Progress) -> None:
        """Use the cluster of `client`.

        address: how messages name the cluster.  threads: that each task computes on.
        progress: is called while results are waited for, and may raise to give up.
        """
        self._client, self._address = client, address
        self._threads, self._progress = threads, progress
        with limit_threads(threads):
            self._environment = describe_environment(threads)

    def map(
        self, work: Callable[[Shared, Item], Result], shared: Shared, items: Sequence[Item]
    ) -> Iterator[Result]:
        """Send `work(shared, item)` for each item, and return an iterator over the results.

        Raises ComputeFailed where workers cannot be had or are lost again and again, what `work`
        raises, and what `progress` raises.
        """
        tasks = [Task(work, item, self._threads, self._environment) for item in items]
        return self._collect(shared, tasks, self._send(shared, tasks) if tasks else [])

    def _send(self, shared: Any, tasks: Sequence[Task]) -> list[Future]:
        self._wait_for_worker()
        try:
            # In a list: parts of a tuple would be sent one by one.
            [shared_data] = self._client.scatter([shared], broadcast=True, hash=False)
            return [self._client.submit(run_task, shared_data, task, pure=False) for task in tasks]
        except (OSError, TimeoutError, CancelledError) as error:
            raise self._describe_silence(error) from error

    def _collect(self, shared: Any, tasks: list[Task], futures: list[Future]) -> Iterator[Any]:
        losses = [0] * len(tasks)
        try:
            for number in range(len(tasks)):
                while not self._is_there(futures[number], number, len(tasks)):
                    lost = [row for row in range(number, len(tasks)) if _is_lost(futures[row])]
                    for row in lost:
                        losses[row] += 1
                    if losses[number] > MAX_LOSSES:
                        raise self._describe_loss(number)
                    again = self._send(shared, [tasks[row] for row in lost])
                    for row, future in zip(lost, again, strict=True):
                        futures[row] = future
                result = futures[number].result()
                futures[number].release()
                yield result
        finally:
            # Where the scheduler is gone there is nothing to give up.
            with suppress(OSError, TimeoutError, CancelledError):
                self._client.cancel(futures, force=True)

    def _is_there(self, future: Future, number: int, count: int) -> bool:
        """Wait for a result, and return whether it came; False where it was lost on the way."""
        last_look = last_worker = time.monotonic()
        while not future.done():
            self._progress(_PROGRESS_STAGE, number, count)
            time.sleep(_POLL_SECONDS)
            now = time.monotonic()
            if now - last_look < _LOOK_SECONDS:
                continue
            last_look = now
            if self._count_workers():
                last_worker = now
            elif now - last_worker > WAIT_SECONDS:
                raise self._describe_silence("it has no worker left")
        if future.status == "error":
            self._raise_error(future.exception(), number)
        return bool(future.status == "finished")

    def _raise_error(self, error: BaseException, number: int) -> None:
        if isinstance(error, KilledWorker):
            raise self._describe_loss(number) from error
        if isinstance(error, NudgeSyncError):
            raise error
        if isinstance(error, ImportError) or "deserialization" in str(error):
            raise ComputeFailed(
                f"Dask at {self._address} cannot read the tasks of nudge-sync ({error}); install "
                "the same version of it for the scheduler and for all workers"
            ) from error
        raise error

    def _wait_for_worker(self) -> None:
        started = time.monotonic()
        while not self._count_workers():
            self._progress("wait for workers", 0, 1)
            if time.monotonic() - started > WAIT_SECONDS:
                raise self._describe_silence("it has no worker")
            time.sleep(_POLL_SECONDS)

    def _count_workers(self) -> int:
        try:
            return len(self._client.scheduler_info()["workers"])
        except (OSError, TimeoutError, CancelledError) as error:
            raise self._describe_silence(error) from error

    def _describe_silence(self, reason: object) -> ComputeFailed:
        return ComputeFailed(
            f"Dask at {self._address} does not work: {reason}; nothing was written. See that its "
            'scheduler and a worker run, or set engine = "local" of [compute]'
        )

    def _describe_loss(self, number: int) -> ComputeFailed:
        return ComputeFailed(
            f"Dask at {self._address} lost every worker that ran task {number + 1}, mostly for "
            "want of memory; nothing was written. Give the workers more of it, or set "
            'engine = "local" of [compute]'
        )


def _is_lost(future: Future) -> bool:
    return future.status in {"cancelled", "lost"}
