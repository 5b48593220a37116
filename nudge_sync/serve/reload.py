"""Reading the configuration again while the daemon runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Protocol

from nudge_sync.base.signals import StopRequest
from nudge_sync.config import Config
from nudge_sync.connector import connect
from nudge_sync.errors import ConfigError, NudgeSyncError
from nudge_sync.serve.log_lines import log_message
from nudge_sync.serve.prometheus import PrometheusMetrics
from nudge_sync.serve.service_manager import (
    notify_alive,
    notify_ready,
    notify_reloading,
    notify_stopping,
)

_STEP_SECONDS = 0.2
"""How often it is looked whether a reload has ended."""


@dataclass(frozen=True)
class ConfigReload:
    """Somebody's wish that the configuration be read again, and how it is read."""

    load: Callable[[], Config]
    """Raises ConfigError for a file that is no configuration."""
    requested: Event
    """Set by SIGHUP."""


class ReloadingDaemon(Protocol):
    """What goes on by another configuration: `nudge_sync.serve.daemon.Daemon`."""

    prometheus: PrometheusMetrics

    def use_config(self, config: Config) -> None:
        """Go on by `config`, or raise ConfigError."""
        ...

    def find_health_problem(self) -> str:
        """Return why the process should be restarted; "" while all is well."""
        ...


def wait_for_stop(stop: StopRequest, reload: ConfigReload, daemon: ReloadingDaemon) -> None:
    """Return once somebody asked to stop; until then, reload the configuration when asked to.

    The service manager is told all of it, and that the daemon works.
    """
    notify_ready()
    while not stop.wait():
        if reload.requested.is_set():
            reload.requested.clear()
            notify_reloading()
            # In a thread: a database that is slow to answer must not look like a daemon that hangs.
            thread = Thread(target=_reload, args=[reload, daemon], name="reload", daemon=True)
            thread.start()
            while thread.is_alive() and not stop.wait(_STEP_SECONDS):
                _notify_alive(daemon)
            notify_ready()
        _notify_alive(daemon)
    notify_stopping()


def _notify_alive(daemon: ReloadingDaemon) -> None:
    if not daemon.find_health_problem():
        notify_alive()


def _reload(reload: ConfigReload, daemon: ReloadingDaemon) -> None:
    """Take over the configuration as it is now, and record whether that could be done."""
    daemon.prometheus.set_config_reloaded(is_successful=_take_over(reload, daemon))


def _take_over(reload: ConfigReload, daemon: ReloadingDaemon) -> bool:
    try:
        config = reload.load()
        _check_connection(config)
        daemon.use_config(config)
    except ConfigError as error:
        log_message(logging.ERROR, "configuration refused, the one before stays", reason=str(error))
        return False
    except Exception as error:  # noqa: BLE001 - a bug must not end the daemon
        kind = type(error).__name__
        log_message(logging.ERROR, "configuration not taken over as a whole", error=kind)
        return False
    log_message(logging.INFO, "configuration reloaded", collections=list(config.collections))
    return True


def _check_connection(config: Config) -> None:
    """Raise ConfigError where the connector refuses its section; no answer is no reason to."""
    try:
        database = connect(config.connector, config.connection)
    except ConfigError:
        raise
    except NudgeSyncError:
        return
    with suppress(NudgeSyncError):
        database.close()
