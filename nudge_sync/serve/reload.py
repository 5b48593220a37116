"""Reading the configuration again while the daemon runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Event

from nudge_sync.base.signals import StopRequest
from nudge_sync.config import Config
from nudge_sync.connector import connect
from nudge_sync.errors import ConfigError, NudgeSyncError
from nudge_sync.serve.log_lines import log_message
from nudge_sync.serve.service_manager import (
    notify_alive,
    notify_ready,
    notify_reloading,
)


@dataclass(frozen=True)
class ConfigReload:
    """Somebody's wish that the configuration be read again, and how it is read."""

    load: Callable[[], Config]
    """Raises ConfigError for a file that is no configuration."""
    requested: Event
    """Set by SIGHUP."""


def wait_for_stop(
    stop: StopRequest,
    reload: ConfigReload,
    use_config: Callable[[Config], None],
    record_reload: Callable[[bool], None],
    is_healthy: Callable[[], bool],
) -> None:
    """Return once somebody asked to stop; until then, reload the configuration when asked to.

    use_config: takes the new configuration over, or raises ConfigError.
    record_reload: is told of each reload whether it succeeded.
    is_healthy: while it says so, the service manager is told that the daemon works.
    """
    while not stop.wait():
        if reload.requested.is_set():
            reload.requested.clear()
            notify_reloading()
            record_reload(_reload(reload, use_config))
            notify_ready()
        if is_healthy():
            notify_alive()


def _reload(reload: ConfigReload, use_config: Callable[[Config], None]) -> bool:
    """Take over the configuration as it is now, and return whether that could be done."""
    try:
        config = reload.load()
        _check_connection(config)
        use_config(config)
    except ConfigError as error:
        log_message(logging.ERROR, "configuration refused, the one before stays", reason=str(error))
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
