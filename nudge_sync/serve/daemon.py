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
from nudge_sync.base.signals import Stop
from nudge_sync.config import Config, ScheduleSettings, seconds
from nudge_sync.connector import Database, connect
from nudge_sync.errors import ConfigError, GateRefused, Interrupted, LeaseHeld, NudgeSyncError
from nudge_sync.feedback.log.load import EVENTS_STAGE, SEARCHES_STAGE
from nudge_sync.serve.log_lines import say
from nudge_sync.serve.probes import Pages, answering, refuse_open_door
from nudge_sync.serve.prometheus import Gauges
from nudge_sync.store.restore_drill import run_drill
from nudge_sync.store.target import Target, open_target

_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_MOST_AT_ONCE = 4
_TOLD_EVERY = 500_000
"""Records of feedback."""
DRILL = "drill"
"""What the scheduler calls the jobs that are no cycles."""


def serve(config: Config, stop: Stop, token: str = "", *, at_once: bool = False) -> None:
    """Run cycles as scheduled, and answer probes, until `stop` is asked; then end with the batch.

    at_once: every collection also runs when the daemon starts.
    Raises ConfigError where no collection has a schedule, or the address cannot be used.
    """
    triggers = {
        name: trigger(settings.schedule)
        for name, settings in config.collections.items()
        if settings.schedule.cron or settings.schedule.every
    }
    if not triggers and config.serve.feedback_port is None:
        raise ConfigError('no collection has a schedule; set every = "6h" in [schedule]')
    refuse_open_door(config.serve.host, token)
    daemon = Daemon(config, stop, dict.fromkeys(triggers, "not tried yet"))
    pages = Pages(daemon.unhealthy, daemon.unready, daemon.page, token)
    with answering(config.serve.host, config.serve.port, pages) as port:
        say(logging.INFO, "listening", host=config.serve.host, port=port)
        with daemon.taking_feedback(token), daemon.scheduled(triggers, at_once=at_once):
            stop.wait()
            say(logging.INFO, "stopping after the batch in hand")
    say(logging.INFO, "stopped")


def trigger(schedule: ScheduleSettings) -> BaseTrigger:
    """When the cycles of a collection run.

    An interval counts from a fixed moment rather than from the start of the process: a daemon
    that is restarted more often than that would otherwise never run.
    """
    if schedule.cron:
        return CronTrigger.from_crontab(schedule.cron, timezone=schedule.timezone)
    every = seconds(schedule.every or "")
    return IntervalTrigger(seconds=every, start_date=_EPOCH, timezone=schedule.timezone)


def drill_trigger(schedule: ScheduleSettings) -> BaseTrigger | None:
    """When the restore drills of a collection run, if they do; half an interval off the cycles'
    fixed moment, so that the two seldom meet.
    """
    if schedule.drill_every is None:
        return None
    every = seconds(schedule.drill_every)
    start = _EPOCH + timedelta(seconds=every / 2)
    return IntervalTrigger(seconds=every, start_date=start, timezone=schedule.timezone)


@dataclass
class Daemon:
    """The cycles of one configuration, and what is known of them."""

    config: Config
    stop: Stop
    unreached: dict[str, str]
    """Collection -> why its database did not answer last time."""
    gauges: Gauges = field(default_factory=Gauges)
    scheduler: BackgroundScheduler | None = None
    opening: Lock = field(default_factory=Lock)
    """An embedded database lets one connection in: a cycle waits for the batch of feedback in
    hand, and batches are turned away while it works."""

    @contextmanager
    def taking_feedback(self, token: str) -> Iterator[None]:
        """Feedback is taken over HTTP inside, where the file says so. Raises ConfigError."""
        serve = self.config.serve
        if serve.feedback_port is None:
            yield
            return
        # Imported here: FastAPI is an extra.
        try:
            from nudge_sync.feedback.ingest.batches import BatchImporter  # noqa: PLC0415
            from nudge_sync.serve.feedback_api import create_app, serve_feedback_api  # noqa: PLC0415
        except ImportError as error:
            raise ConfigError(
                f"serve.feedback_port lacks a package ({error}); "
                "install it with: pip install 'nudge-sync[serve]'"
            ) from error
        vectors = {name: each.vector for name, each in self.config.collections.items()}
        batches = BatchImporter(self._connected, vectors, self.opening)
        app = create_app(batches, token, self.gauges)
        with serve_feedback_api(serve.host, serve.feedback_port, app) as port:
            say(logging.INFO, "taking feedback", host=serve.host, port=port)
            yield

    def _connected(self) -> Database:
        return connect(self.config.connector, self.config.connection)

    @contextmanager
    def _target(self, name: str) -> Iterator[Target]:
        database = self._connected()
        try:
            with self.opening:
                target = open_target(database, name, self.config.collections[name].vector)
            yield target
        finally:
            database.close()

    @contextmanager
    def scheduled(self, triggers: dict[str, BaseTrigger], *, at_once: bool) -> Iterator[None]:
        """Cycles run inside; on leaving, those in hand end after their batch."""
        workers = ThreadPoolExecutor(min(max(len(triggers), 1), _MOST_AT_ONCE))
        defaults = {"coalesce": True, "max_instances": 1}
        scheduler = BackgroundScheduler(
            executors={"default": workers}, job_defaults=defaults, timezone=UTC
        )
        for name, when in triggers.items():
            grace = self.config.collections[name].schedule.misfire_grace_seconds
            first = {"next_run_time": datetime.now(UTC)} if at_once else {}
            scheduler.add_job(self.run, when, [name], id=name, misfire_grace_time=grace, **first)
            if drills := drill_trigger(self.config.collections[name].schedule):
                scheduler.add_job(self.drill, drills, [name], name=DRILL, misfire_grace_time=grace)
        scheduler.add_listener(self._left_out, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        self.probe()
        scheduler.start()
        self.scheduler = scheduler
        try:
            yield
        finally:
            self.scheduler = None
            scheduler.shutdown(wait=True)

    def run(self, name: str) -> None:
        """One cycle of a collection; whatever comes of it, the next run comes too."""
        began = time.monotonic()
        self.gauges.working(name, now=True)
        try:
            outcome = self._outcome(name)
        finally:
            self.gauges.working(name, now=False)
        took = time.monotonic() - began
        self.gauges.ended(name, outcome, took)
        if outcome in {"applied", "unchanged", "refused"}:
            self.gauges.succeeded(name, time.time())

    def drill(self, name: str) -> None:
        """One restore drill of a collection, beside its cycles; what comes of it is told."""
        try:
            done = self._drilled(name)
        except Interrupted:
            return
        except NudgeSyncError as error:
            self.gauges.drilled(name, "unreachable" if error.transient else "failed")
            level = logging.WARNING if error.transient else logging.ERROR
            say(level, "drill failed", collection=name, reason=str(error))
            return
        self.gauges.drilled(name, "restored" if done["ok"] else "damaged")
        level = logging.INFO if done["ok"] else logging.ERROR
        say(level, "drill ended", collection=name, **done)

    def _drilled(self, name: str) -> dict[str, Any]:
        self.stop.check()
        with self._target(name) as target:
            return run_drill(target, progress=self._progress).summary()

    def _left_out(self, event: JobEvent) -> None:
        if event.job_id not in self.config.collections:
            say(logging.WARNING, "drill left out")
            return
        late = event.code == EVENT_JOB_MISSED
        reason = "too late to start" if late else "the run before has not ended"
        self.gauges.left_out(event.job_id)
        say(logging.WARNING, "run left out", collection=event.job_id, reason=reason)

    def _outcome(self, name: str) -> str:
        try:
            summary = self._cycle(name)
        except GateRefused as error:
            return self._refused(name, error)
        except Interrupted:
            say(logging.INFO, "cycle interrupted; the next one resumes it", collection=name)
            return "interrupted"
        except LeaseHeld as error:
            say(logging.INFO, "left to another process", collection=name, reason=str(error))
            return "busy"
        except NudgeSyncError as error:
            return self._failed(name, error)
        except Exception as error:  # noqa: BLE001 - a bug must not end the daemon
            kind = type(error).__name__
            say(logging.ERROR, "cycle failed unexpectedly", collection=name, error=kind)
            return "failed"
        self.gauges.measured(name, summary)
        outcome = "applied" if summary["revision"] is not None else "unchanged"
        say(logging.INFO, f"cycle {outcome}", collection=name, **_essence(summary))
        return outcome

    def _cycle(self, name: str) -> dict[str, Any]:
        self.stop.check()
        settings = self.config.collections[name]
        with self._target(name) as target:
            self.unreached.pop(name, None)
            self.gauges.counted(name, target.facts.points)
            return cycle.apply(target, settings, None, self._telling(name)).summary()

    def _progress(self, stage: str, done: int, total: int) -> None:
        del stage, done, total
        self.stop.check()

    def _telling(self, name: str) -> Progress:
        """The progress of a cycle: a line now and then while much feedback is read."""
        told = dict.fromkeys((EVENTS_STAGE, SEARCHES_STAGE), 0)

        def report(stage: str, done: int, total: int) -> None:
            self._progress(stage, done, total)
            if stage in told and done // _TOLD_EVERY > told[stage]:
                told[stage] = done // _TOLD_EVERY
                say(logging.INFO, "reading feedback", collection=name, stage=stage, read=done)

        return report

    def _refused(self, name: str, error: GateRefused) -> str:
        done = getattr(error, "applied", None) or getattr(error, "plan", None)
        if done is not None:
            self.gauges.measured(name, done.summary())
        say(logging.INFO, "refused by the gate", collection=name, reason=str(error))
        return "refused"

    def _failed(self, name: str, error: NudgeSyncError) -> str:
        kind = type(error).__name__
        if error.transient:
            self.unreached[name] = str(error)
            say(logging.WARNING, "not now", collection=name, error=kind, reason=str(error))
            return "unreachable"
        say(logging.ERROR, "cycle failed", collection=name, error=kind, reason=str(error))
        return "failed"

    def probe(self) -> None:
        """Ask the database once, so that readiness does not wait for the first cycle."""
        try:
            database = self._connected()
            try:
                database.describe()
            finally:
                database.close()
        except NudgeSyncError as error:
            self.unreached = dict.fromkeys(self.unreached, str(error))
            say(logging.WARNING, "the database does not answer", reason=str(error))
        else:
            self.unreached.clear()

    def unhealthy(self) -> str:
        """Why this process should be restarted; "" while it starts and runs its schedule."""
        dead = self.scheduler is not None and not self.scheduler.running
        return "the scheduler does not run" if dead else ""

    def unready(self) -> str:
        """Why no cycle could run now; "" where one could."""
        if self.stop.asked.is_set():
            return "stopping"
        names = ", ".join(sorted(self.unreached))
        return f"the database did not answer for {names}" if names else ""

    def page(self) -> bytes:
        """The metrics, with the times of the next runs."""
        for job in self.scheduler.get_jobs() if self.scheduler else []:
            if job.next_run_time and job.name != DRILL:
                self.gauges.due(job.id, job.next_run_time.timestamp())
        return self.gauges.page()


def _essence(summary: dict[str, Any]) -> dict[str, Any]:
    names = ("revision", "method", "judged", "moved", "written", "drifted", "missing")
    return {name: summary[name] for name in (*names, "before", "after")}
