"""When a cycle runs: a schedule a collection, until somebody asks to stop.

Every cycle opens its own connection and closes it again, so that a restarted database needs no
restart here and, on an embedded database, the command line can work in between.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from nudge_sync import cycle
from nudge_sync.base.progress import Progress
from nudge_sync.base.signals import StopRequest
from nudge_sync.config import Config, ScheduleSettings, parse_duration
from nudge_sync.connector import Database, connect
from nudge_sync.errors import ConfigError, Interrupted, LeaseHeld, NudgeSyncError
from nudge_sync.feedback.log.load import EVENTS_STAGE, SEARCHES_STAGE
from nudge_sync.serve.log_lines import log_message
from nudge_sync.serve.probes import ProbeEndpoints, require_token, serve_endpoints
from nudge_sync.serve.prometheus import PrometheusMetrics
from nudge_sync.store.restore_drill import run_drill
from nudge_sync.store.target import Target, open_target

_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_MAX_CONCURRENT_CYCLES = 4
_RECORDS_PER_LOG_LINE = 500_000
"""Records of feedback."""
DRILL_JOB = "drill"
"""What the scheduler calls the jobs that are no cycles."""


def run_daemon(
    config: Config, stop: StopRequest, token: str = "", *, run_at_start: bool = False
) -> None:
    """Run cycles as scheduled, and answer probes, until `stop` is asked; then end with the batch.

    run_at_start: every collection also runs when the daemon starts.
    Raises ConfigError where no collection has a schedule, or the address cannot be used.
    """
    triggers = {
        name: build_cycle_trigger(settings.schedule)
        for name, settings in config.collections.items()
        if settings.schedule.cron or settings.schedule.every
    }
    if not triggers and config.serve.feedback_port is None:
        raise ConfigError('no collection has a schedule; set every = "6h" in [schedule]')
    require_token(config.serve.host, token)
    daemon = Daemon(config, stop, dict.fromkeys(triggers, "not tried yet"))
    endpoints = ProbeEndpoints(
        daemon.find_health_problem, daemon.find_readiness_problem, daemon.render_metrics, token
    )
    with serve_endpoints(config.serve.host, config.serve.port, endpoints) as port:
        log_message(logging.INFO, "listening", host=config.serve.host, port=port)
        with (
            daemon.accept_feedback(token),
            daemon.run_schedule(triggers, run_at_start=run_at_start),
        ):
            stop.wait()
            log_message(logging.INFO, "stopping after the batch in hand")
    log_message(logging.INFO, "stopped")


def build_cycle_trigger(schedule: ScheduleSettings) -> BaseTrigger:
    """When the cycles of a collection run.

    An interval counts from a fixed moment rather than from the start of the process: a daemon
    that is restarted more often than that would otherwise never run.
    """
    if schedule.cron:
        return CronTrigger.from_crontab(schedule.cron, timezone=schedule.timezone)
    interval_seconds = parse_duration(schedule.every or "")
    return IntervalTrigger(seconds=interval_seconds, start_date=_EPOCH, timezone=schedule.timezone)


def build_drill_trigger(schedule: ScheduleSettings) -> BaseTrigger | None:
    """When the restore drills of a collection run, if they do; half an interval off the cycles'
    fixed moment, so that the two seldom meet.
    """
    if schedule.drill_every is None:
        return None
    interval_seconds = parse_duration(schedule.drill_every)
    start = _EPOCH + timedelta(seconds=interval_seconds / 2)
    return IntervalTrigger(seconds=interval_seconds, start_date=start, timezone=schedule.timezone)


@dataclass
class Daemon:
    """The cycles of one configuration, and what is known of them."""

    config: Config
    stop: StopRequest
    unreachable_reasons: dict[str, str]
    """Collection -> why its database did not answer last time."""
    prometheus: PrometheusMetrics = field(default_factory=PrometheusMetrics)
    scheduler: BackgroundScheduler | None = None
    connection_lock: Lock = field(default_factory=Lock)
    """An embedded database lets one connection in: a cycle waits for the batch of feedback in
    hand, and batches are turned away while it works."""

    @contextmanager
    def accept_feedback(self, token: str) -> Iterator[None]:
        """Feedback is taken over HTTP inside, where the file says so. Raises ConfigError."""
        serve_settings = self.config.serve
        if serve_settings.feedback_port is None:
            yield
            return
        # Imported here: FastAPI is an extra.
        try:
            from nudge_sync.feedback.ingest.batches import BatchImporter  # noqa: PLC0415
            from nudge_sync.serve.feedback_api import create_app  # noqa: PLC0415
            from nudge_sync.serve.feedback_server import serve_feedback_api  # noqa: PLC0415
        except ImportError as error:
            raise ConfigError(
                f"serve.feedback_port lacks a package ({error}); "
                "install it with: pip install 'nudge-sync[serve]'"
            ) from error
        vector_names = {name: settings.vector for name, settings in self.config.collections.items()}
        batches = BatchImporter(self._connect, vector_names, self.connection_lock)
        app = create_app(batches, token, self.prometheus)
        with serve_feedback_api(serve_settings.host, serve_settings.feedback_port, app) as port:
            log_message(logging.INFO, "taking feedback", host=serve_settings.host, port=port)
            yield

    def _connect(self) -> Database:
        return connect(self.config.connector, self.config.connection)

    @contextmanager
    def _open_target(self, name: str) -> Iterator[Target]:
        database = self._connect()
        try:
            with self.connection_lock:
                target = open_target(database, name, self.config.collections[name].vector)
            yield target
        finally:
            database.close()

    @contextmanager
    def run_schedule(
        self, triggers: dict[str, BaseTrigger], *, run_at_start: bool
    ) -> Iterator[None]:
        """Cycles run inside; on leaving, those in hand end after their batch."""
        executor = ThreadPoolExecutor(min(max(len(triggers), 1), _MAX_CONCURRENT_CYCLES))
        defaults = {"coalesce": True, "max_instances": 1}
        scheduler = BackgroundScheduler(
            executors={"default": executor}, job_defaults=defaults, timezone=UTC
        )
        for name, trigger in triggers.items():
            grace = self.config.collections[name].schedule.misfire_grace_seconds
            first_run = {"next_run_time": datetime.now(UTC)} if run_at_start else {}
            scheduler.add_job(
                self.run_cycle, trigger, [name], id=name, misfire_grace_time=grace, **first_run
            )
            if drill_trigger := build_drill_trigger(self.config.collections[name].schedule):
                scheduler.add_job(
                    self.run_drill, drill_trigger, [name], name=DRILL_JOB, misfire_grace_time=grace
                )
        scheduler.add_listener(self._record_skipped_job, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        self.probe_database()
        scheduler.start()
        self.scheduler = scheduler
        try:
            yield
        finally:
            self.scheduler = None
            scheduler.shutdown(wait=True)

    def run_cycle(self, name: str) -> None:
        """One cycle of a collection; whatever comes of it, the next run comes too."""
        began = time.monotonic()
        self.prometheus.set_working(name, is_working=True)
        try:
            outcome = self._attempt_cycle(name)
        finally:
            self.prometheus.set_working(name, is_working=False)
        took = time.monotonic() - began
        self.prometheus.record_cycle(name, outcome, took)
        if outcome in {"applied", "unchanged", "refused"}:
            self.prometheus.set_last_success(name, time.time())

    def run_drill(self, name: str) -> None:
        """One restore drill of a collection, beside its cycles; what comes of it is told."""
        try:
            summary = self._drill_collection(name)
        except Interrupted:
            return
        except NudgeSyncError as error:
            self.prometheus.record_drill(name, "unreachable" if error.transient else "failed")
            level = logging.WARNING if error.transient else logging.ERROR
            log_message(level, "drill failed", collection=name, reason=str(error))
            return
        self.prometheus.record_drill(name, "restored" if summary["ok"] else "damaged")
        level = logging.INFO if summary["ok"] else logging.ERROR
        log_message(level, "drill ended", collection=name, **summary)

    def _drill_collection(self, name: str) -> dict[str, Any]:
        self.stop.raise_if_requested()
        with self._open_target(name) as target:
            return run_drill(target, progress=self._stop_if_requested).summary()

    def _record_skipped_job(self, event: JobEvent) -> None:
        if event.job_id not in self.config.collections:
            log_message(logging.WARNING, "drill left out")
            return
        is_late = event.code == EVENT_JOB_MISSED
        reason = "too late to start" if is_late else "the run before has not ended"
        self.prometheus.record_skipped_cycle(event.job_id)
        log_message(logging.WARNING, "run left out", collection=event.job_id, reason=reason)

    def _attempt_cycle(self, name: str) -> str:
        try:
            report = self._apply_cycle(name)
        except Interrupted:
            log_message(logging.INFO, "cycle interrupted; the next one resumes it", collection=name)
            return "interrupted"
        except LeaseHeld as error:
            log_message(logging.INFO, "left to another process", collection=name, reason=str(error))
            return "busy"
        except NudgeSyncError as error:
            return self._record_failure(name, error)
        except Exception as error:  # noqa: BLE001 - a bug must not end the daemon
            kind = type(error).__name__
            log_message(logging.ERROR, "cycle failed unexpectedly", collection=name, error=kind)
            return "failed"
        summary = report.summary()
        self.prometheus.record_plan(name, summary)
        if report.reason:
            log_message(logging.INFO, "refused by the gate", collection=name, reason=report.reason)
            return "refused"
        fields = _select_log_fields(summary)
        log_message(logging.INFO, f"cycle {report.outcome}", collection=name, **fields)
        return report.outcome

    def _apply_cycle(self, name: str) -> cycle.CycleReport:
        self.stop.raise_if_requested()
        settings = self.config.collections[name]
        with self._open_target(name) as target:
            self.unreachable_reasons.pop(name, None)
            self.prometheus.set_point_count(name, target.facts.points)
            return cycle.apply(target, settings, None, self._build_progress(name))

    def _stop_if_requested(self, stage: str, done: int, total: int) -> None:
        del stage, done, total
        self.stop.raise_if_requested()

    def _build_progress(self, name: str) -> Progress:
        """The progress of a cycle: a line now and then while much feedback is read."""
        logged_intervals = dict.fromkeys((EVENTS_STAGE, SEARCHES_STAGE), 0)

        def report(stage: str, done: int, total: int) -> None:
            self._stop_if_requested(stage, done, total)
            if (
                stage in logged_intervals
                and done // _RECORDS_PER_LOG_LINE > logged_intervals[stage]
            ):
                logged_intervals[stage] = done // _RECORDS_PER_LOG_LINE
                log_message(
                    logging.INFO, "reading feedback", collection=name, stage=stage, read=done
                )

        return report

    def _record_failure(self, name: str, error: NudgeSyncError) -> str:
        kind = type(error).__name__
        if error.transient:
            self.unreachable_reasons[name] = str(error)
            log_message(logging.WARNING, "not now", collection=name, error=kind, reason=str(error))
            return "unreachable"
        log_message(logging.ERROR, "cycle failed", collection=name, error=kind, reason=str(error))
        return "failed"

    def probe_database(self) -> None:
        """Ask the database once, so that readiness does not wait for the first cycle."""
        try:
            database = self._connect()
            try:
                database.describe()
            finally:
                database.close()
        except NudgeSyncError as error:
            self.unreachable_reasons = dict.fromkeys(self.unreachable_reasons, str(error))
            log_message(logging.WARNING, "the database does not answer", reason=str(error))
        else:
            self.unreachable_reasons.clear()

    def find_health_problem(self) -> str:
        """Why this process should be restarted; "" while it starts and runs its schedule."""
        dead = self.scheduler is not None and not self.scheduler.running
        return "the scheduler does not run" if dead else ""

    def find_readiness_problem(self) -> str:
        """Why no cycle could run now; "" where one could."""
        if self.stop.requested.is_set():
            return "stopping"
        names = ", ".join(sorted(self.unreachable_reasons))
        return f"the database did not answer for {names}" if names else ""

    def render_metrics(self) -> bytes:
        """The metrics, with the times of the next runs."""
        for job in self.scheduler.get_jobs() if self.scheduler else []:
            if job.next_run_time and job.name != DRILL_JOB:
                self.prometheus.set_next_run(job.id, job.next_run_time.timestamp())
        return self.prometheus.render()


def _select_log_fields(summary: dict[str, Any]) -> dict[str, Any]:
    names = ("revision", "method", "judged", "moved", "written", "drifted", "missing")
    return {name: summary[name] for name in (*names, "before", "after")}
