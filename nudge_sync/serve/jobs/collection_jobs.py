"""The jobs of the daemon: cycles, reviews and restore drills, each with what came of it.

Every job opens its own connection and closes it again, so that a restarted database needs no
restart here and, on an embedded database, the command line can work in between.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from nudge_sync import cycle
from nudge_sync.base.signals import StopRequest
from nudge_sync.base.tracing import SPANS, traced
from nudge_sync.canary.review import review
from nudge_sync.canary.start import run_cycle
from nudge_sync.config import Config
from nudge_sync.connector import Database, connect
from nudge_sync.errors import Interrupted, NudgeSyncError
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
from nudge_sync.serve.jobs.schedule import CycleJob, DrillJob, ReviewJob, ScheduledJob
from nudge_sync.serve.jobs.source_fetches import fetch_sources
from nudge_sync.serve.log_lines import log_message
from nudge_sync.serve.notices.notifier import Notifier
from nudge_sync.serve.prometheus import PrometheusMetrics
from nudge_sync.store.ledger import now_ms
from nudge_sync.store.retry import retry_transient
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
        """Run one job, and record what came of it."""
        match job:
            case CycleJob():
                self.run_cycle(job.collection)
            case DrillJob():
                self.run_drill(job.collection)
            case ReviewJob():
                self.run_review(job.collection)

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

    def run_cycle(self, name: str) -> None:
        """Run one cycle of the collection `name`, and record what came of it; raises nothing."""
        start_time = time.monotonic()
        self.prometheus.set_working(name, is_working=True)
        try:
            outcome = self._attempt_cycle(name)
        finally:
            self.prometheus.set_working(name, is_working=False)
        self.prometheus.record_cycle(name, outcome, time.monotonic() - start_time)
        if outcome in SUCCESSFUL_OUTCOMES:
            self.prometheus.set_last_success(name, time.time())
            self.prometheus.set_on_hold(name, is_on_hold=outcome == "on hold")

    @traced("nudge_sync.cycle")
    def _attempt_cycle(self, name: str) -> CycleOutcome:
        SPANS.set_attributes({"db.collection.name": name})
        try:
            done = self._apply_cycle(name)
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
                return done
            self.prometheus.record_plan(name, done.summary())
            outcome, line = describe_report(done)
            line.write(name)
        SPANS.set_attributes({"nudge_sync.outcome": outcome})
        self.notifier.report_cycle(name, outcome, line)
        return outcome

    def _apply_cycle(self, name: str) -> cycle.CycleReport | CycleOutcome:
        """Run a cycle; where nothing is new, return how the last one ended."""
        self.stop.raise_if_requested()
        settings = self.config.collections[name]
        with self._open_target(name) as target:
            self.unreachable_reasons.pop(name, None)
            self.prometheus.set_point_count(name, target.facts.points)
            progress = build_job_progress(name, self.stop)
            fetch_sources(target, settings.feedback, self.prometheus, progress)
            if not settings.schedule.skip_idle:
                return run_cycle(target, settings, progress)
            began_at, former = now_ms(), self.idle.find_state(name)
            state = read_state(target, self.config, settings, former)
            outcome = self.idle.find_outcome(name, state)
            if outcome is not None and not self.idle.has_new_feedback(name, target):
                IDLE_LINE.write(name)
                return "refused" if outcome == "refused" else "unchanged"
            report = run_cycle(target, settings, progress)
            state = update_revisions(state, target)
            self.idle.remember(name, state, began_at, describe_report(report)[0])
            return report

    def run_review(self, name: str) -> None:
        """Review the experiment of the collection `name` once; raises nothing."""
        try:
            with self._open_target(name) as target:
                report = review(
                    target, self.config.collections[name], build_job_progress(name, self.stop)
                )
        except Interrupted:
            return
        except Exception as error:  # noqa: BLE001 - a bug must not end the daemon
            describe_review_error(error).write(name)
            return
        self.prometheus.experiments.record_status(name, report.status)
        decided = describe_review(report)
        if decided is not None:
            outcome, line = decided
            self.prometheus.experiments.record_decision(name, outcome)
            line.write(name)
            self.notifier.report_review(name, outcome, line)

    def run_drill(self, name: str) -> None:
        """Run one restore drill of the collection `name`, and record what came of it."""
        try:
            report = self._drill_collection(name)
        except Interrupted:
            return
        except NudgeSyncError as error:
            outcome, line = describe_drill_error(error)
            line.write(name)
        else:
            outcome, line = describe_drill(report)
            line.write(name)
        self.prometheus.record_drill(name, outcome)
        self.notifier.report_drill(name, outcome, line)

    def _drill_collection(self, name: str) -> DrillReport:
        self.stop.raise_if_requested()
        with self._open_target(name) as target:
            return run_drill(target, progress=build_job_progress(name, self.stop))

    @contextmanager
    def _open_target(self, name: str) -> Iterator[Target]:
        patience = self.config.patience
        database = retry_transient(self.connect, patience=patience)
        try:
            with self.connection_lock:
                vector = self.config.collections[name].vector
                target = open_target(database, name, vector, patience)
            yield target
        finally:
            database.close()

    def connect(self) -> Database:
        """Open the database of the configuration. Raises NudgeSyncError."""
        return connect(self.config.connector, self.config.connection)
