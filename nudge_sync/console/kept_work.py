"""Work that a visit to a page starts, and whose answer the page shows for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nudge_sync.console.jobs import BackgroundJob, JobBoard, JobKey

FRESH_SECONDS = 60.0
"""How long an answer is shown before a visit has it worked out again."""
ERROR_SECONDS = 10.0
"""How long an error is shown: the page that waits for the work sees it, and a later visit starts
the work again."""


@dataclass(frozen=True, slots=True)
class KeptWork:
    """The newest work of a page, and the newest answer that there is."""

    job: BackgroundJob
    answer: Any
    """The result of the newest work that ended well; None where there is none yet."""
    answered_at: float
    """When that ended, in seconds since 1970; 0 where there is none."""

    @property
    def is_current(self) -> bool:
        """Whether the answer is that of the newest work."""
        return self.job.state == "done"


def visit_work(
    jobs: JobBoard,
    key: JobKey,
    start: Callable[[], BackgroundJob],
    fresh_seconds: float = FRESH_SECONDS,
) -> KeptWork:
    """Return the newest work with this key, started by `start` where that is due.

    It is due on a first visit, `fresh_seconds` after an answer and `ERROR_SECONDS` after an error.
    """
    job = jobs.find_latest(*key)
    if job is None or _is_due(job, fresh_seconds):
        job = start()
    done = next((each for each in jobs.list_jobs(*key) if each.state == "done"), None)
    if done is None:
        return KeptWork(job, None, 0.0)
    return KeptWork(job, done.result, done.finished_at)


def forget_answers(jobs: JobBoard, collection: str) -> None:
    """Forget what pages have worked out of a collection that an action may have changed."""
    for page in ("trial", "point", "experiment"):
        jobs.forget(page, collection)


def _is_due(job: BackgroundJob, fresh_seconds: float) -> bool:
    kept_seconds = ERROR_SECONDS if job.error else fresh_seconds
    return job.is_finished and time.time() - job.finished_at > kept_seconds
