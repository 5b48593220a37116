"""The daemon: jobs on their schedules, and what it answers over HTTP, until asked to stop."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from nudge_sync.base.signals import StopRequest
from nudge_sync.config import Config, ScheduleSettings
from nudge_sync.errors import ConfigError
from nudge_sync.serve.console_server import RunningConsole, show_console
from nudge_sync.serve.jobs.collection_jobs import CollectionJobs
from nudge_sync.serve.jobs.schedule import (
    RunningSchedule,
    Schedule,
    find_next_cycles,
    refuse_idle_config,
    select_reviews,
    select_schedules,
)
from nudge_sync.serve.jobs.source_fetches import start_source_series
from nudge_sync.serve.log_lines import log_message
from nudge_sync.serve.notices.notifier import Notifier
from nudge_sync.serve.notices.webhook import Webhook
from nudge_sync.serve.probes import ProbeEndpoints, require_token, serve_endpoints
from nudge_sync.serve.prometheus import PrometheusMetrics
from nudge_sync.serve.readiness import DatabaseProbe
from nudge_sync.serve.reload import ConfigReload, wait_for_stop

if TYPE_CHECKING:
    from fastapi import FastAPI

    from nudge_sync.feedback.ingest.batches import BatchImporter
    from nudge_sync.serve.traces.receiver import TraceReceiver

_RELOADED_SERVE_SETTINGS = {
    "console_hosts",
    "console_user_header",
    "console_token_file",
    "console_action_token_file",
}
"""Those of [serve] that a reload changes."""


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
    Raises ConfigError where no collection has a schedule, the address cannot be used, or the
    connector refuses its section.
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
        with delivery, daemon.accept_feedback(token), show_console(daemon), jobs:
            wait_for_stop(stop, reload, daemon)
            log_message(logging.INFO, "stopping after the batch in hand")
    log_message(logging.INFO, "stopped")


@dataclass
class Daemon:
    """The cycles of one configuration, and what is known of them."""

    config: Config
    stop: StopRequest
    notifier: Notifier = field(default_factory=lambda: Notifier(None))
    jobs: CollectionJobs = field(init=False)
    probe: DatabaseProbe = field(init=False)
    prometheus: PrometheusMetrics = field(init=False)
    connection_lock: Lock = field(default_factory=Lock)
    schedules: dict[str, ScheduleSettings] = field(init=False)
    """Collection -> when its cycles run, for those that run any."""
    review_seconds: dict[str, float] = field(init=False)
    """Collection -> the time between two reviews, for those with a [canary] table."""
    vector_names: dict[str, str] = field(init=False)
    """Collection -> the name of its vector, for all of the configuration."""
    running_schedule: RunningSchedule | None = field(init=False, default=None)
    console: RunningConsole | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.schedules = select_schedules(self.config)
        self.review_seconds = select_reviews(self.config)
        self.vector_names = self.config.vector_names
        self.prometheus = PrometheusMetrics({**self.schedules, **self.review_seconds})
        self.jobs = CollectionJobs(
            self.config,
            self.stop,
            self.notifier,
            self.prometheus,
            self.connection_lock,
            dict.fromkeys(self.config.collections, "not tried yet"),
        )
        self.probe = DatabaseProbe(self.jobs)
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
        batches = BatchImporter(self.jobs.connect, self.vector_names, self.connection_lock)
        self.prometheus.start_feedback_series(self.vector_names)
        app = create_app(batches, token, self.prometheus)
        service = ExperimentService(batches)
        add_experiment_routes(app, service, token, self.prometheus)
        receivers = self._open_trace_receivers(batches)
        host, feedback_port = serve_settings.host, serve_settings.feedback_port
        try:
            with (
                self._accept_traces(app, receivers, token),
                serve_feedback_api(host, feedback_port, app) as port,
            ):
                log_message(logging.INFO, "taking feedback", host=host, port=port)
                yield
        finally:
            service.close()

    @contextmanager
    def _accept_traces(
        self, app: FastAPI, receivers: dict[str, TraceReceiver], token: str
    ) -> Iterator[None]:
        """Take traces while inside, if a collection has [feedback.traces]."""
        if not receivers:
            yield
            return
        # Imported here: what reads traces is an extra.
        from nudge_sync.serve.traces.api import (  # noqa: PLC0415
            add_trace_route,
            release_waiting_searches,
        )

        self.prometheus.start_traces_series(receivers)
        add_trace_route(app, receivers, token, self.prometheus)
        with release_waiting_searches(receivers, self.prometheus):
            yield

    def _open_trace_receivers(self, batches: BatchImporter) -> dict[str, TraceReceiver]:
        """Return the receivers of the collections with [feedback.traces]. Raises ConfigError."""
        settings = {
            name: collection.feedback
            for name, collection in self.config.collections.items()
            if collection.feedback.traces is not None
        }
        if not settings:
            return {}
        try:
            from nudge_sync.serve.traces.receiver import open_receivers  # noqa: PLC0415
        except ImportError as error:
            raise ConfigError(
                f"[feedback.traces] lacks a package ({error}); "
                "install it with: pip install 'nudge-sync[sources]'"
            ) from error
        return open_receivers(batches, settings)

    @contextmanager
    def run_schedule(self, *, run_at_start: bool) -> Iterator[None]:
        """Run cycles and drills while inside; on leaving, wait until those under way have ended.

        run_at_start: every collection also runs at once.
        Raises ConfigError where the connector refuses its section.
        """
        schedule = Schedule(
            self.schedules,
            self.review_seconds,
            self.jobs.run,
            self.jobs.record_skipped,
            self.config.serve.max_parallel,
        )
        failure = self.probe.check()
        if isinstance(failure, ConfigError):
            raise failure
        run = schedule.run(run_at_start=run_at_start)
        with self.probe.keep_checking(), run as running_schedule:
            self.running_schedule = running_schedule
            try:
                yield
            finally:
                self.running_schedule = None

    def use_config(self, config: Config) -> None:
        """Go on by another configuration; what is under way ends by the one before.

        Where the daemon listens stays as it is. Raises ConfigError, and changes nothing, where
        there would be nothing to do, or nothing to open the console with.
        """
        refuse_idle_config(config)
        if self.console is not None:
            self.console.use_config(config)
        if _dump_fixed_settings(config) != _dump_fixed_settings(self.config):
            log_message(logging.WARNING, "a change of [serve] takes effect with a restart")
        previous, self.config, self.jobs.config = self.config, config, config
        previous_names = {*self.schedules, *self.review_seconds}
        self.schedules, self.review_seconds = select_schedules(config), select_reviews(config)
        if self.running_schedule is not None:
            self.running_schedule.replace_jobs(self.schedules, self.review_seconds)
        self._replace_series(previous_names)
        self.vector_names.update(config.vector_names)
        for name in self.vector_names.keys() - config.collections.keys():
            del self.vector_names[name]
            self.jobs.unreachable_reasons.pop(name, None)
        if config.serve.feedback_port is not None:
            self.prometheus.start_feedback_series(self.vector_names)
        if config.database != previous.database:
            untried = dict.fromkeys(config.collections, "not tried yet")
            self.jobs.unreachable_reasons.update(untried)
            self.probe.check()

    def _replace_series(self, previous_names: set[str]) -> None:
        """Forget the gauges of jobs that are gone, and put the series of new ones at 0.

        previous_names: the collections that had jobs before.
        """
        for name in previous_names - self.schedules.keys():
            self.prometheus.stop_series(name)
        for name in previous_names - self.review_seconds.keys():
            self.prometheus.experiments.stop_series(name)
        for name in {**self.schedules, **self.review_seconds}:
            self.prometheus.start_series(name)
        start_source_series(self.config.collections, self.prometheus)

    def find_health_problem(self) -> str:
        """Return why this process should be restarted; "" while it starts and runs its schedule."""
        is_dead = self.running_schedule is not None and not self.running_schedule.is_running()
        return "the scheduler does not run" if is_dead else ""

    def find_readiness_problem(self) -> str:
        """Return why no cycle could run now; "" where one could."""
        if self.stop.requested.is_set():
            return "stopping"
        names = ", ".join(sorted(self.jobs.unreachable_reasons))
        return f"the database did not answer for {names}" if names else ""

    def render_metrics(self) -> bytes:
        """Return the metrics in Prometheus's text format, with the times of the next cycles."""
        for name, timestamp in find_next_cycles(self.running_schedule).items():
            self.prometheus.set_next_run(name, timestamp)
        return self.prometheus.render()


def _dump_fixed_settings(config: Config) -> dict[str, Any]:
    """Return the settings of [serve] that hold until the daemon ends."""
    return config.serve.model_dump(exclude=_RELOADED_SERVE_SETTINGS)
