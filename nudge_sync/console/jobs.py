"""Work in the background, one piece at a time, with its progress and its result."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any, Literal, TypeAlias

from nudge_sync.base.progress import Progress
from nudge_sync.errors import Interrupted, NudgeSyncError, Unreachable

_LOGGER = logging.getLogger("nudge_sync")
JobState: TypeAlias = Literal["waiting", "running", "done", "failed"]
JobKey: TypeAlias = tuple[str, ...]
"""What the work is about, such as ("plan", "docs"); a later job with the same key replaces it."""
MAX_KEPT_JOBS = 64
"""Results that are kept; the oldest goes first."""
MAX_WAITING_JOBS = 8


@dataclass
class BackgroundJob:
    """One piece of work; fields change while it runs."""

    key: JobKey
    title: str
    """What is done, for people, such as "computing a plan"."""
    job_id: str
    request: Any = None
    """Who asked for what; None where everybody who asks for this key gets the same."""
    state: JobState = "waiting"
    stage: str = ""
    done: int = 0
    total: int = 0
    """0 where it is not known."""
    result: Any = None
    error: str = ""
    """Why it failed, a sentence."""
    created_at: float = field(default_factory=time.time)
    finished_at: float = 0.0
    """Seconds since 1970; 0 while it is not finished."""

    @property
    def is_finished(self) -> bool:
        """Whether it ended, well or not."""
        return self.state in {"done", "failed"}


class JobBoard:
    """The jobs of one console. They run in one thread of its own, in the order they came."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="console-job")
        self._jobs: dict[str, BackgroundJob] = {}
        self._lock = Lock()
        self._stop = Event()

    @property
    def is_closed(self) -> bool:
        """Whether the console is ending."""
        return self._stop.is_set()

    def start(
        self, key: JobKey, title: str, work: Callable[[Progress], Any], request: Any = None
    ) -> BackgroundJob:
        """Start `work` unless work with this key waits or runs already; return its job.

        request: is kept with the job. That of the job returned is another where work with this key
        was started for another one.
        Raises Unreachable while too many wait.
        """
        with self._lock:
            pending = [job for job in self._jobs.values() if not job.is_finished]
            for job in pending:
                if job.key == key:
                    return job
            if len(pending) >= MAX_WAITING_JOBS:
                raise Unreachable("too much work waits in the console; try again later")
            job = BackgroundJob(key, title, secrets.token_urlsafe(9), request)
            self._jobs[job.job_id] = job
            self._drop_old(job)
        self._executor.submit(self._run, job, work)
        return job

    def get(self, job_id: str) -> BackgroundJob | None:
        """Return one job, or None where it is not kept."""
        return self._jobs.get(job_id)

    def find_latest(self, *key: str) -> BackgroundJob | None:
        """Return the newest job with this key, or None."""
        return next((job for job in self._newest_first() if job.key == key), None)

    def list_jobs(self, *key: str) -> list[BackgroundJob]:
        """Return the jobs whose key begins with `key`, newest first."""
        return [job for job in self._newest_first() if job.key[: len(key)] == key]

    def forget(self, *key: str) -> None:
        """Forget the finished jobs whose key begins with `key`."""
        finished = [job for job in self.list_jobs(*key) if job.is_finished]
        with self._lock:
            for job in finished:
                self._jobs.pop(job.job_id, None)

    def close(self) -> None:
        """End the work in hand after its batch, and forget what waits."""
        self._stop.set()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _newest_first(self) -> Iterator[BackgroundJob]:
        with self._lock:
            return reversed(list(self._jobs.values()))

    def _drop_old(self, newest: BackgroundJob) -> None:
        finished = [job for job in self._jobs.values() if job.is_finished]
        replaced = [job for job in finished if job.key == newest.key]
        # The last result of this key stays until there is a new one.
        for job in [*replaced[:-1], *finished[: max(0, len(self._jobs) - MAX_KEPT_JOBS)]]:
            self._jobs.pop(job.job_id, None)

    def _run(self, job: BackgroundJob, work: Callable[[Progress], Any]) -> None:
        def report(stage: str, done: int, total: int) -> None:
            job.stage, job.done, job.total = stage, done, total
            if self._stop.is_set():
                raise Interrupted

        job.state = "running"
        try:
            job.result = work(report)
        except NudgeSyncError as error:
            job.error = str(error)
        except Exception as error:  # noqa: BLE001 - a bug must not end the daemon
            # Without message and traceback, which may quote addresses and data.
            cause = type(error).__name__
            job.error = f"unexpected {cause}; this is a bug"
            _LOGGER.error("console: %s: unexpected %s", job.title, cause)  # noqa: TRY400
        job.finished_at = time.time()
        job.state = "failed" if job.error else "done"
