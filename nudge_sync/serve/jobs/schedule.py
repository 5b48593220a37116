"""When cycles and restore drills run: a trigger for each, and the scheduler that holds them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.job import Job
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

from nudge_sync.base.times import build_cron_trigger, parse_duration
from nudge_sync.config import Config, ScheduleSettings
from nudge_sync.errors import ConfigError
from nudge_sync.serve.jobs.fair_pool import FairExecutor
from nudge_sync.store.checksum import digest_bytes

_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_MAX_CONCURRENT_REVIEWS = 2
_CYCLES, _REVIEWS = "cycles", "reviews"
"""The executors: a canary that does harm must not wait for other collections' cycles."""


@dataclass(frozen=True, slots=True)
class CycleJob:
    """The cycles of a collection."""

    collection: str


@dataclass(frozen=True, slots=True)
class DrillJob:
    """The restore drills of a collection."""

    collection: str


@dataclass(frozen=True, slots=True)
class ReviewJob:
    """The reviews of what a collection's canary or holdback showed."""

    collection: str


ScheduledJob: TypeAlias = CycleJob | DrillJob | ReviewJob


def has_cycles(settings: ScheduleSettings) -> bool:
    """Return whether the daemon runs cycles of a collection with these settings."""
    return bool(settings.cron or settings.every)


def is_scheduled(job: ScheduledJob, config: Config) -> bool:
    """Return whether the daemon runs a job by this configuration."""
    settings = config.collections.get(job.collection)
    if settings is None:
        return False
    match job:
        case CycleJob():
            return has_cycles(settings.schedule)
        case DrillJob():
            return settings.schedule.drill_every is not None
        case ReviewJob():
            return settings.canary is not None


def select_schedules(config: Config) -> dict[str, ScheduleSettings]:
    """Return collection -> when its cycles and drills run, for those that have any."""
    return {
        name: settings.schedule
        for name, settings in config.collections.items()
        if has_cycles(settings.schedule) or settings.schedule.drill_every
    }


def select_reviews(config: Config) -> dict[str, float]:
    """Return collection -> the seconds between two reviews, for those with a [canary] table."""
    return {
        name: parse_duration(settings.canary.check_every)
        for name, settings in config.collections.items()
        if settings.canary is not None
    }


def refuse_idle_config(config: Config) -> None:
    """Raise ConfigError where the daemon would run nothing and serve nothing."""
    has_jobs = select_schedules(config) or select_reviews(config)
    has_pages = config.serve.feedback_port is not None or config.serve.console_port is not None
    if not has_jobs and not has_pages:
        raise ConfigError('no collection has a schedule; set every = "6h" in [schedule]')


def build_cycle_trigger(settings: ScheduleSettings, collection: str) -> BaseTrigger:
    """Return the times at which the cycles of a collection run. Raises ValueError if at none.

    An interval counts from a fixed moment rather than from the start of the process: a daemon
    that is restarted more often than that would otherwise never run.
    """
    if settings.cron:
        return build_cron_trigger(settings.cron, settings.timezone)
    interval_seconds = parse_duration(settings.every or "")
    start = _EPOCH + timedelta(seconds=compute_offset(settings, collection))
    return IntervalTrigger(seconds=interval_seconds, start_date=start, timezone=settings.timezone)


def compute_offset(settings: ScheduleSettings, collection: str) -> float:
    """Return by how many seconds a collection's cycles come later than those of others.

    Below `settings.spread`, and always the same for a name.
    """
    if settings.spread is None:
        return 0.0
    share = int(digest_bytes(collection.encode("utf-8", "surrogatepass"))[:8], 16) / 16**8
    return share * parse_duration(settings.spread)


def build_drill_trigger(settings: ScheduleSettings) -> BaseTrigger | None:
    """Return the times at which the restore drills of a collection run; None: at none.

    They are half an interval off the fixed moment that cycles count from, so that the two seldom
    meet.
    """
    if settings.drill_every is None:
        return None
    interval_seconds = parse_duration(settings.drill_every)
    start = _EPOCH + timedelta(seconds=interval_seconds / 2)
    return IntervalTrigger(seconds=interval_seconds, start_date=start, timezone=settings.timezone)


@dataclass(frozen=True)
class Schedule:
    """The jobs of the collections that run cycles, or whose experiments are reviewed."""

    settings: Mapping[str, ScheduleSettings]
    """Collection -> when its cycles and drills run."""
    review_seconds: Mapping[str, float]
    """Collection -> the time between two reviews of its experiments, for those that have any."""
    run_job: Callable[[ScheduledJob], None]
    """Called when a job is due, in one of the scheduler's threads."""
    report_skipped_job: Callable[[ScheduledJob, str], None]
    """Called with the reason where a job that was due did not start."""
    max_parallel: int = 4
    """How many collections are worked on at once, beside reviews."""

    @contextmanager
    def run(self, *, run_at_start: bool) -> Iterator[RunningSchedule]:
        """Run the jobs when they are due; on leaving, wait until those under way have ended.

        run_at_start: every cycle also runs at once.
        """
        start_times: dict[str, float] = {}

        def rank_job(job: Job) -> float:
            return start_times.get(job.id, 0.0)

        scheduler = BackgroundScheduler(
            executors={
                _CYCLES: FairExecutor(self.max_parallel, rank_job),
                _REVIEWS: FairExecutor(_MAX_CONCURRENT_REVIEWS, rank_job),
            },
            job_defaults={"coalesce": True, "max_instances": 1},
            timezone=UTC,
        )

        def run_job(job_id: str, job: ScheduledJob) -> None:
            start_times[job_id] = time.monotonic()
            self.run_job(job)

        running = RunningSchedule(scheduler, run_job)
        running.replace_jobs(self.settings, self.review_seconds, run_at_start=run_at_start)

        def report_skipped(event: JobEvent) -> None:
            is_late = event.code == EVENT_JOB_MISSED
            reason = "too late to start" if is_late else "the run before has not ended"
            if event.job_id in running.jobs:
                self.report_skipped_job(running.jobs[event.job_id], reason)

        scheduler.add_listener(report_skipped, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        scheduler.start()
        try:
            yield running
        finally:
            scheduler.shutdown(wait=True)


def _list_jobs(
    settings_by_collection: Mapping[str, ScheduleSettings], review_seconds: Mapping[str, float]
) -> Iterator[tuple[ScheduledJob, BaseTrigger, int | None]]:
    """Each job with its trigger and the seconds by which it may start late; None: any."""
    for name, settings in settings_by_collection.items():
        if has_cycles(settings):
            trigger = build_cycle_trigger(settings, name)
            yield CycleJob(name), trigger, settings.misfire_grace_seconds
        if drill_trigger := build_drill_trigger(settings):
            yield DrillJob(name), drill_trigger, settings.misfire_grace_seconds
    for name, seconds in review_seconds.items():
        # Anchored, as cycles are: else each reload would begin the time anew.
        trigger = IntervalTrigger(seconds=seconds, start_date=_EPOCH, timezone=UTC)
        yield ReviewJob(name), trigger, None


@dataclass(frozen=True)
class RunningSchedule:
    """A schedule whose jobs run."""

    scheduler: BackgroundScheduler
    run_job: Callable[[str, ScheduledJob], None]
    """Called with the scheduler's id of a job that is due, and the job."""
    jobs: dict[str, ScheduledJob] = field(default_factory=dict)
    """The scheduler's id of a job -> the job."""

    def replace_jobs(
        self,
        settings: Mapping[str, ScheduleSettings],
        review_seconds: Mapping[str, float],
        *,
        run_at_start: bool = False,
    ) -> None:
        """Run the jobs of these collections from now on, and no others.

        What is under way ends, and a job that stays does not run beside itself meanwhile.
        run_at_start: every cycle also runs at once.
        """
        first_run = {"next_run_time": datetime.now(UTC)} if run_at_start else {}
        jobs = {
            f"{type(job).__name__} {job.collection}": (job, trigger, grace_seconds)
            for job, trigger, grace_seconds in _list_jobs(settings, review_seconds)
        }
        for job_id in self.jobs.keys() - jobs.keys():
            self.scheduler.remove_job(job_id)
            del self.jobs[job_id]
        for job_id, (job, trigger, grace_seconds) in jobs.items():
            self.jobs[job_id] = job
            self.scheduler.add_job(
                self.run_job,
                trigger,
                [job_id, job],
                id=job_id,
                executor=_REVIEWS if isinstance(job, ReviewJob) else _CYCLES,
                replace_existing=True,
                misfire_grace_time=grace_seconds,
                **(first_run if isinstance(job, CycleJob) else {}),
            )

    def is_running(self) -> bool:
        """Return whether jobs that come due will run."""
        # The scheduler counts as running although its thread has died.
        thread = self.scheduler._thread  # noqa: SLF001 - nothing public tells
        return bool(self.scheduler.running and thread.is_alive())

    def find_next_cycles(self) -> dict[str, float]:
        """Return collection -> when its next cycle is due, in seconds since 1970."""
        return {
            job.collection: entry.next_run_time.timestamp()
            for entry in self.scheduler.get_jobs()
            if entry.next_run_time and isinstance(job := self.jobs.get(entry.id), CycleJob)
        }


def find_next_cycles(schedule: RunningSchedule | None) -> dict[str, float]:
    """Return collection -> when its next cycle is due; nothing before a schedule runs."""
    return {} if schedule is None else schedule.find_next_cycles()
