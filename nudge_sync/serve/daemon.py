"""The daemon: cycles on their schedules, probes and feedback over HTTP, until asked to stop.

Every cycle opens its own connection and closes it again, so that a restarted database needs no
restart here and, on an embedded database, the command line can work in between.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from threading import Lock

from nudge_sync import cycle
from nudge_sync.base.signals import StopRequest
from nudge_sync.base.tracing import SPANS, traced
from nudge_sync.canary.review import review
from nudge_sync.canary.start import run_cycle as run_cycle_or_canary
from nudge_sync.config import Config, ScheduleSettings
from nudge_sync.connector import Database, connect
from nudge_sync.errors import ConfigError, Interrupted, NudgeSyncError
from nudge_sync.serve.console_server import show_console
from nudge_sync.serve.job_progress import build_job_progress
from nudge_sync.serve.log_lines import log_message
from nudge_sync.serve.notifier import Notifier
from nudge_sync.serve.outcomes import (
    SUCCESSFUL_OUTCOMES,
    CycleOutcome,
    describe_drill,
    describe_drill_error,
    describe_error,
    describe_report,
    describe_review,
    describe_review_error,
)
from nudge_sync.serve.probes import ProbeEndpoints, require_token, serve_endpoints
from nudge_sync.serve.prometheus import PrometheusMetrics
from nudge_sync.serve.reload import ConfigReload, wait_for_stop
from nudge_sync.serve.schedule import (
    CycleJob,
    DrillJob,
    ReviewJob,
    RunningSchedule,
    Schedule,
    ScheduledJob,
    find_next_cycles,
    refuse_idle_config,
    select_reviews,
    select_schedules,
)
from nudge_sync.serve.source_fetches import fetch_sources, start_source_series
from nudge_sync.serve.webhook import Webhook
from nudge_sync.store.hold import read_hold
from nudge_sync.store.restore_drill import DrillReport, run_drill
from nudge_sync.store.retry import retry_transient
from nudge_sync.store.target import Target, open_target


def run_daemon(
    config: Config,
    stop: StopRequest,
    reload: ConfigReload,
    token: str = "",
    *,
    webhook: Webhook | None = None,
    run_at_start: bool = False,
) -> None:
    """Run cycles as scheduled and answer probes until `stop` is asked, then finish the batch.

    reload: says when to read the configuration again.  webhook: is told of every decision.
    run_at_start: every collection also runs when the daemon starts.
    Raises ConfigError where no collection has a schedule, or the address cannot be used.
    """
    daemon = Daemon(config, stop, Notifier(webhook))
    refuse_idle_config(config)
    require_token(config.serve.host, token)
    endpoints = ProbeEndpoints(
        daemon.find_health_problem, daemon.find_readiness_problem, daemon.render_metrics, token
    )
    with serve_endpoints(config.serve.host, config.serve.port, endpoints) as port:
        log_message(logging.INFO, "listening", host=config.serve.host, port=port)
        delivery = nullcontext() if webhook is None else webhook.run()
        jobs = daemon.run_schedule(run_at_start=run_at_start)
        with delivery, daemon.accept_feedback(token), show_console(config, daemon), jobs:
            wait_for_stop(stop, reload, daemon)
            log_message(logging.INFO, "stopping after the batch in hand")
    log_message(logging.INFO, "stopped")


@dataclass
class Daemon:
    """The cycles of one configuration, and what is known of them."""

    config: Config
    stop: StopRequest
    notifier: Notifier = field(default_factory=lambda: Notifier(None))
    prometheus: PrometheusMetrics = field(init=False)
    connection_lock: Lock = field(default_factory=Lock)
    """An embedded database lets one connection in: a cycle waits for the batch of feedback in
    hand, and batches are turned away while it works."""
    schedules: dict[str, ScheduleSettings] = field(init=False)
    """Collection -> when its cycles run, for those that run any."""
    review_seconds: dict[str, float] = field(init=False)
    """Collection -> the time between two reviews, for those with a [canary] table."""
    vector_names: dict[str, str] = field(init=False)
    """Collection -> the name of its vector, for all of the configuration."""
    unreachable_reasons: dict[str, str] = field(init=False)
    """Collection -> why its database did not answer last time."""
    running_schedule: RunningSchedule | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.schedules = select_schedules(self.config)
        self.review_seconds = select_reviews(self.config)
        self.vector_names = self.config.vector_names
        self.unreachable_reasons = dict.fromkeys(self.schedules, "not tried yet")
        self.prometheus = PrometheusMetrics({**self.schedules, **self.review_seconds})
        start_source_series(self.config.collections, self.prometheus)

    @contextmanager
    def accept_feedback(self, token: str) -> Iterator[None]:
        """Take feedback over HTTP while inside, if the configuration says where.

        Raises ConfigError where the address cannot be used or a package is not installed.
        """
        serve_settings = self.config.serve
        if serve_settings.feedback_port is None:
            yield
            return
        # Imported here: FastAPI is an extra.
        try:
            from nudge_sync.feedback.ingest.batches import BatchImporter  # noqa: PLC0415
            from nudge_sync.serve.experiments.api import add_experiment_routes  # noqa: PLC0415
            from nudge_sync.serve.experiments.service import ExperimentService  # noqa: PLC0415
            from nudge_sync.serve.feedback_api import create_app  # noqa: PLC0415
            from nudge_sync.serve.feedback_server import serve_feedback_api  # noqa: PLC0415
        except ImportError as error:
            raise ConfigError(
                f"serve.feedback_port lacks a package ({error}); "
                "install it with: pip install 'nudge-sync[serve]'"
            ) from error
        batches = BatchImporter(self._connect, self.vector_names, self.connection_lock)
        self.prometheus.start_feedback_series(self.vector_names)
        app = create_app(batches, token, self.prometheus)
        service = ExperimentService(batches)
        add_experiment_routes(app, service, token, self.prometheus)
        try:
            with serve_feedback_api(serve_settings.host, serve_settings.feedback_port, app) as port:
                log_message(logging.INFO, "taking feedback", host=serve_settings.host, port=port)
                yield
        finally:
            service.close()

    @contextmanager
    def run_schedule(self, *, run_at_start: bool) -> Iterator[None]:
        """Run cycles and drills while inside; on leaving, wait until those under way have ended.

        run_at_start: every collection also runs at once.
        """
        schedule = Schedule(
            self.schedules, self.review_seconds, self._run_job, self._record_skipped_job
        )
        self.probe_database()
        with schedule.run(run_at_start=run_at_start) as running_schedule:
            self.running_schedule = running_schedule
            try:
                yield
            finally:
                self.running_schedule = None

    def use_config(self, config: Config) -> None:
        """Go on by another configuration; what is under way ends by the one before.

        Where the daemon listens stays as it is. Raises ConfigError where there would be nothing
        to do.
        """
        refuse_idle_config(config)
        if config.serve != self.config.serve:
            log_message(logging.WARNING, "a change of [serve] takes effect with a restart")
        previous, self.config = self.config, config
        self.schedules, self.review_seconds = select_schedules(config), select_reviews(config)
        for name in select_schedules(previous).keys() - self.schedules.keys():
            self.prometheus.stop_series(name)
            self.unreachable_reasons.pop(name, None)
        for name in {**self.schedules, **self.review_seconds}:
            self.prometheus.start_series(name)
        self.vector_names.update(config.vector_names)
        for name in self.vector_names.keys() - config.collections.keys():
            del self.vector_names[name]
        if config.serve.feedback_port is not None:
            self.prometheus.start_feedback_series(self.vector_names)
        if self.running_schedule is not None:
            self.running_schedule.replace_jobs(self.schedules, self.review_seconds)
        if config.database != previous.database:
            self.probe_database()

    def _run_job(self, job: ScheduledJob) -> None:
        match job:
            case CycleJob():
                self.run_cycle(job.collection)
            case DrillJob():
                self.run_drill(job.collection)
            case ReviewJob():
                self.run_review(job.collection)

    def _record_skipped_job(self, job: ScheduledJob, reason: str) -> None:
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
            report = self._apply_cycle(name)
        except Exception as error:  # noqa: BLE001 - a bug must not end the daemon
            outcome, line = describe_error(error)
            SPANS.set_attributes({"error.type": type(error).__name__})
            if outcome == "model changed":
                self.prometheus.set_model_changed(name, has_changed=True)
            if outcome == "unreachable":
                self.unreachable_reasons[name] = str(error)
            line.write(name)
        else:
            self.prometheus.record_plan(name, report.summary())
            outcome, line = describe_report(report)
            line.write(name)
        SPANS.set_attributes({"nudge_sync.outcome": outcome})
        self.notifier.report_cycle(name, outcome, line)
        return outcome

    def _apply_cycle(self, name: str) -> cycle.CycleReport:
        self.stop.raise_if_requested()
        settings = self.config.collections[name]
        with self._open_target(name) as target:
            self.unreachable_reasons.pop(name, None)
            self.prometheus.set_point_count(name, target.facts.points)
            progress = build_job_progress(name, self.stop)
            fetch_sources(target, settings.feedback, self.prometheus, progress)
            return run_cycle_or_canary(target, settings, progress)

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
        database = retry_transient(self._connect, patience=patience)
        try:
            with self.connection_lock:
                vector = self.config.collections[name].vector
                target = open_target(database, name, vector, patience)
            yield target
        finally:
            database.close()

    def _connect(self) -> Database:
        return connect(self.config.connector, self.config.connection)

    def probe_database(self) -> None:
        """Ask the database once, so that readiness does not wait for the first cycle."""
        try:
            database = self._connect()
            try:
                database.describe()
                self._read_holds(database)
            finally:
                database.close()
        except NudgeSyncError as error:
            self.unreachable_reasons = dict.fromkeys(self.unreachable_reasons, str(error))
            log_message(logging.WARNING, "the database does not answer", reason=str(error))
        else:
            self.unreachable_reasons.clear()

    def _read_holds(self, database: Database) -> None:
        """Set the gauge of each collection's hold; one that cannot be read is left to its cycle."""
        for name in self.schedules:
            with suppress(NudgeSyncError):
                target = open_target(database, name, self.config.collections[name].vector)
                self.prometheus.set_on_hold(name, is_on_hold=read_hold(target) is not None)

    def find_health_problem(self) -> str:
        """Return why this process should be restarted; "" while it starts and runs its schedule."""
        is_dead = self.running_schedule is not None and not self.running_schedule.is_running()
        return "the scheduler does not run" if is_dead else ""

    def find_readiness_problem(self) -> str:
        """Return why no cycle could run now; "" where one could."""
        if self.stop.requested.is_set():
            return "stopping"
        names = ", ".join(sorted(self.unreachable_reasons))
        return f"the database did not answer for {names}" if names else ""

    def render_metrics(self) -> bytes:
        """Return the metrics in Prometheus's text format, with the times of the next cycles."""
        for name, timestamp in find_next_cycles(self.running_schedule).items():
            self.prometheus.set_next_run(name, timestamp)
        return self.prometheus.render()
