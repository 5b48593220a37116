"""The jobs of the daemon: cycles, reviews and restore drills, each with what came of it.

Every job opens its own connection and closes it again, so that a restarted database needs no
restart here and, on an embedded database, the command line can work in between.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

from nudge_sync import cycle
from nudge_sync.base.signals import StopRequest
from nudge_sync.base.tracing import SPANS, traced
from nudge_sync.canary.review import review
from nudge_sync.canary.start import run_cycle
from nudge_sync.config import Config
from nudge_sync.connector import Database, connect
from nudge_sync.errors import Interrupted
from nudge_sync.serve.jobs.idle import IdleCollections, read_state, update_revisions
from nudge_sync.serve.jobs.job_progress import build_job_progress
from nudge_sync.serve.jobs.outcomes import (
    IDLE_LINE,
    SUCCESSFUL_OUTCOMES,
    CycleOutcome,
    describe_drill,
    describe_drill_error,
    describe_error,
    describe_report,
    describe_review,
    describe_review_error,
)
from nudge_sync.serve.jobs.schedule import (
    CycleJob,
    DrillJob,
    ReviewJob,
    ScheduledJob,
    is_scheduled,
)
from nudge_sync.serve.jobs.source_fetches import fetch_sources
from nudge_sync.serve.log_lines import log_message
from nudge_sync.serve.notices.notifier import Notifier
from nudge_sync.serve.prometheus import PrometheusMetrics
from nudge_sync.store.ledger import now_ms
from nudge_sync.store.retry import pause_by, retry_transient
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.upkeep.restore_drill import DrillReport, run_drill


@dataclass
class CollectionJobs:
    """Runs the jobs of all collections, and records what came of each."""

    config: Config
    stop: StopRequest
    notifier: Notifier
    prometheus: PrometheusMetrics
    connection_lock: Lock
    """An embedded database lets one connection in: a job waits for the batch of feedback in hand,
    and batches are turned away while it works."""
    unreachable_reasons: dict[str, str] = field(default_factory=dict)
    """Collection -> why its database did not answer last time."""
    idle: IdleCollections = field(default_factory=IdleCollections)

    def run(self, job: ScheduledJob) -> None:
        """Run one job, and record what came of it; a reload while it works changes nothing in it.

        One that a reload took away while it waited for its turn does not run.
        """
        config = self.config
        if not is_scheduled(job, config):
            return
        try:
            # A database that is away must not keep the daemon from ending.
            with pause_by(self.stop.pause):
                self._run(job, config)
        finally:
            self._stop_series(job)

    def _run(self, job: ScheduledJob, config: Config) -> None:
        match job:
            case CycleJob():
                self._run_cycle(job.collection, config)
            case DrillJob():
                self._run_drill(job.collection, config)
            case ReviewJob():
                self._run_review(job.collection, config)

    def record_skipped(self, job: ScheduledJob, reason: str) -> None:
        """Record that a job was due and did not start."""
        match job:
            case CycleJob(name):
                self.prometheus.record_skipped_cycle(name)
                log_message(logging.WARNING, "run left out", collection=name, reason=reason)
            case DrillJob():
                log_message(logging.WARNING, "drill left out")
            case ReviewJob():
                # The next one sees all that this one would have.
                pass

    def _stop_series(self, job: ScheduledJob) -> None:
        """Forget what a job has set since a reload took it away."""
        if is_scheduled(job, self.config):
            return
        match job:
            case CycleJob(name):
                self.prometheus.stop_series(name)
                self.unreachable_reasons.pop(name, None)
            case ReviewJob(name):
                self.prometheus.experiments.stop_series(name)
            case DrillJob():
                pass

    def _run_cycle(self, name: str, config: Config) -> None:
        start_time = time.monotonic()
        self.prometheus.set_working(name, is_working=True)
        try:
            outcome = self._attempt_cycle(name, config)
        finally:
            self.prometheus.set_working(name, is_working=False)
        self.prometheus.record_cycle(name, outcome, time.monotonic() - start_time)
        if outcome in SUCCESSFUL_OUTCOMES:
            self.prometheus.set_last_success(name, time.time())
            self.prometheus.set_on_hold(name, is_on_hold=outcome == "on hold")

    @traced("nudge_sync.cycle")
    def _attempt_cycle(self, name: str, config: Config) -> CycleOutcome:
        SPANS.set_attributes({"db.collection.name": name})
        try:
            done = self._apply_cycle(name, config)
        except Exception as error:  # noqa: BLE001 - a bug must not end the daemon
            outcome, line = describe_error(error)
            SPANS.set_attributes({"error.type": type(error).__name__})
            if outcome == "model changed":
                self.prometheus.set_model_changed(name, has_changed=True)
            if outcome == "unreachable":
                self.unreachable_reasons[name] = str(error)
            line.write(name)
        else:
            if not isinstance(done, cycle.CycleReport):
                SPANS.set_attributes({"nudge_sync.outcome": done})
                return done
            self.prometheus.record_plan(name, done.summary())
            outcome, line = describe_report(done)
            line.write(name)
        SPANS.set_attributes({"nudge_sync.outcome": outcome})
        self.notifier.report_cycle(name, outcome, line)
        return outcome

    def _apply_cycle(self, name: str, config: Config) -> cycle.CycleReport | CycleOutcome:
        """Run a cycle; where nothing is new, return how the last one ended."""
        self.stop.raise_if_requested()
        settings = config.collections[name]
        with self._open_target(name, config) as target:
            self.unreachable_reasons.pop(name, None)
            self.prometheus.set_point_count(name, target.facts.points)
            progress = build_job_progress(name, self.stop)
            fetch_sources(target, settings.feedback, self.prometheus, progress)
            if not settings.schedule.skip_idle:
                return run_cycle(target, settings, progress)
            began_at, former = now_ms(), self.idle.find_state(name)
            state = read_state(target, config, settings, former)
            outcome = self.idle.find_outcome(name, state)
            if outcome is not None and not self.idle.has_new_feedback(name, target):
                IDLE_LINE.write(name)
                return "refused" if outcome == "refused" else "unchanged"
            report = run_cycle(target, settings, progress)
            state = update_revisions(state, target)
            self.idle.remember(name, state, began_at, describe_report(report)[0])
            return report

    def _run_review(self, name: str, config: Config) -> None:
        try:
            with self._open_target(name, config) as target:
                progress = build_job_progress(name, self.stop)
                report = review(target, config.collections[name], progress)
        except Interrupted:
            return
        except Exception as error:  # noqa: BLE001 - a bug must not end the daemon
            line = describe_review_error(error)
            line.write(name)
            if line.level >= logging.ERROR:
                self.prometheus.experiments.record_failure(name)
            return
        self.prometheus.experiments.record_status(name, report.status)
        decided = describe_review(report)
        if decided is not None:
            outcome, line = decided
            self.prometheus.experiments.record_decision(name, outcome)
            line.write(name)
            self.notifier.report_review(name, outcome, line)

    def _run_drill(self, name: str, config: Config) -> None:
        try:
            report = self._drill_collection(name, config)
        except Interrupted:
            return
        except Exception as error:  # noqa: BLE001 - a bug must be counted and told of, too
            outcome, line = describe_drill_error(error)
            line.write(name)
        else:
            outcome, line = describe_drill(report)
            line.write(name)
        self.prometheus.record_drill(name, outcome)
        self.notifier.report_drill(name, outcome, line)

    def _drill_collection(self, name: str, config: Config) -> DrillReport:
        self.stop.raise_if_requested()
        with self._open_target(name, config) as target:
            return run_drill(target, progress=build_job_progress(name, self.stop))

    @contextmanager
    def _open_target(self, name: str, config: Config) -> Iterator[Target]:
        database = retry_transient(partial(_open_database, config), patience=config.patience)
        try:
            # On a server, that one collection does not answer must not hold up all others.
            facts = retry_transient(database.describe, patience=config.patience)
            is_embedded = facts.storage_path is not None
            with self.connection_lock if is_embedded else nullcontext():
                vector = config.collections[name].vector
                target = open_target(database, name, vector, config.patience)
            yield target
        finally:
            database.close()

    def connect(self) -> Database:
        """Open the database of the configuration. Raises NudgeSyncError."""
        return _open_database(self.config)


def _open_database(config: Config) -> Database:
    return connect(config.connector, config.connection)
