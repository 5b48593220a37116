"""The daemon: cycles on their schedules, probes and feedback over HTTP, until asked to stop.

Every cycle opens its own connection and closes it again, so that a restarted database needs no
restart here and, on an embedded database, the command line can work in between.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock

from nudge_sync import cycle
from nudge_sync.base.signals import StopRequest
from nudge_sync.config import Config, ScheduleSettings
from nudge_sync.connector import Database, connect
from nudge_sync.errors import ConfigError, Interrupted, NudgeSyncError
from nudge_sync.serve.job_progress import build_job_progress
from nudge_sync.serve.log_lines import log_message
from nudge_sync.serve.outcomes import (
    SUCCESSFUL_OUTCOMES,
    CycleOutcome,
    describe_drill,
    describe_drill_error,
    describe_error,
    describe_report,
)
from nudge_sync.serve.probes import ProbeEndpoints, require_token, serve_endpoints
from nudge_sync.serve.prometheus import PrometheusMetrics
from nudge_sync.serve.schedule import (
    CycleJob,
    DrillJob,
    RunningSchedule,
    Schedule,
    ScheduledJob,
    has_cycles,
)
from nudge_sync.serve.source_fetches import fetch_sources, start_source_series
from nudge_sync.store.hold import read_hold
from nudge_sync.store.restore_drill import DrillReport, run_drill
from nudge_sync.store.retry import retry_transient
from nudge_sync.store.target import Target, open_target


def run_daemon(
    config: Config, stop: StopRequest, token: str = "", *, run_at_start: bool = False
) -> None:
    """Run cycles as scheduled and answer probes until `stop` is asked, then finish the batch.

    run_at_start: every collection also runs when the daemon starts.
    Raises ConfigError where no collection has a schedule, or the address cannot be used.
    """
    daemon = Daemon(config, stop)
    if not daemon.schedules and config.serve.feedback_port is None:
        raise ConfigError('no collection has a schedule; set every = "6h" in [schedule]')
    require_token(config.serve.host, token)
    endpoints = ProbeEndpoints(
        daemon.find_health_problem, daemon.find_readiness_problem, daemon.render_metrics, token
    )
    with serve_endpoints(config.serve.host, config.serve.port, endpoints) as port:
        log_message(logging.INFO, "listening", host=config.serve.host, port=port)
        with daemon.accept_feedback(token), daemon.run_schedule(run_at_start=run_at_start):
            stop.wait()
            log_message(logging.INFO, "stopping after the batch in hand")
    log_message(logging.INFO, "stopped")


@dataclass
class Daemon:
    """The cycles of one configuration, and what is known of them."""

    config: Config
    stop: StopRequest
    prometheus: PrometheusMetrics = field(init=False)
    connection_lock: Lock = field(default_factory=Lock)
    """An embedded database lets one connection in: a cycle waits for the batch of feedback in
    hand, and batches are turned away while it works."""
    schedules: dict[str, ScheduleSettings] = field(init=False)
    """Collection -> when its cycles run, for those that run any."""
    unreachable_reasons: dict[str, str] = field(init=False)
    """Collection -> why its database did not answer last time."""
    running_schedule: RunningSchedule | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.schedules = {
            name: settings.schedule
            for name, settings in self.config.collections.items()
            if has_cycles(settings.schedule)
        }
        self.unreachable_reasons = dict.fromkeys(self.schedules, "not tried yet")
        self.prometheus = PrometheusMetrics(self.schedules)
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
        vector_names = {name: settings.vector for name, settings in self.config.collections.items()}
        batches = BatchImporter(self._connect, vector_names, self.connection_lock)
        self.prometheus.start_feedback_series(vector_names)
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
        schedule = Schedule(self.schedules, self._run_job, self._record_skipped_job)
        self.probe_database()
        with schedule.run(run_at_start=run_at_start) as running_schedule:
            self.running_schedule = running_schedule
            try:
                yield
            finally:
                self.running_schedule = None

    def _run_job(self, job: ScheduledJob) -> None:
        match job:
            case CycleJob():
                self.run_cycle(job.collection)
            case DrillJob():
                self.run_drill(job.collection)

    def _record_skipped_job(self, job: ScheduledJob, reason: str) -> None:
        match job:
            case CycleJob(name):
                self.prometheus.record_skipped_cycle(name)
                log_message(logging.WARNING, "run left out", collection=name, reason=reason)
            case DrillJob():
                log_message(logging.WARNING, "drill left out")

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

    def _attempt_cycle(self, name: str) -> CycleOutcome:
        try:
            report = self._apply_cycle(name)
        except Exception as error:  # noqa: BLE001 - a bug must not end the daemon
            outcome, line = describe_error(error)
            if outcome == "unreachable":
                self.unreachable_reasons[name] = str(error)
            line.write(name)
            return outcome
        self.prometheus.record_plan(name, report.summary())
        outcome, line = describe_report(report)
        line.write(name)
        return outcome

    def _apply_cycle(self, name: str) -> cycle.CycleReport:
        self.stop.raise_if_requested()
        with self._open_target(name) as target:
            self.unreachable_reasons.pop(name, None)
            self.prometheus.set_point_count(name, target.facts.points)
            progress = build_job_progress(name, self.stop)
            settings = self.config.collections[name]
            fetch_sources(target, settings.feedback, self.prometheus, progress)
            return cycle.apply(target, settings, None, progress)

    def run_drill(self, name: str) -> None:
        """Run one restore drill of the collection `name`, and record what came of it."""
        try:
            report = self._drill_collection(name)
        except Interrupted:
            return
        except NudgeSyncError as error:
            outcome, line = describe_drill_error(error)
            self.prometheus.record_drill(name, outcome)
            line.write(name)
            return
        outcome, line = describe_drill(report)
        self.prometheus.record_drill(name, outcome)
        line.write(name)

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
        if self.running_schedule is not None:
            for name, timestamp in self.running_schedule.find_next_cycles().items():
                self.prometheus.set_next_run(name, timestamp)
        return self.prometheus.render()
