"""The console's HTTP server: beside the daemon's cycles, or alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol

from nudge_sync.config import Config
from nudge_sync.connector import Database, connect
from nudge_sync.connector.secrets import read_token
from nudge_sync.errors import ConfigError
from nudge_sync.serve.jobs.schedule import RunningSchedule, find_next_cycles
from nudge_sync.serve.log_lines import log_message
from nudge_sync.serve.prometheus import PrometheusMetrics


@dataclass(frozen=True)
class ConsoleTokens:
    """What opens the console; "" is none."""

    read: str
    action: str = ""


@dataclass(frozen=True)
class RunningConsole:
    """A console that is served."""

    port: int
    use_config: Callable[[Config], None]
    """Goes on by another configuration, and by the tokens that stand in its files now; raises
    ConfigError, and changes nothing, where a token is missing or too short."""


class ScheduledDaemon(Protocol):
    """What the console needs of a daemon."""

    config: Config
    connection_lock: Lock
    running_schedule: RunningSchedule | None
    console: RunningConsole | None
    prometheus: PrometheusMetrics


@contextmanager
def serve_console(
    config: Config,
    open_database: Callable[[], Database],
    lock: Lock,
    find_next_runs: Callable[[], Mapping[str, float]],
    *,
    list_intake: Callable[[str], Sequence[tuple[str, str, int]]] | None = None,
    tokens: ConsoleTokens | None = None,
    plan_files: Mapping[str, Path] | None = None,
) -> Iterator[RunningConsole | None]:
    """Serve the console while inside, where `serve.console_port` says so; give it.

    lock: held while an embedded database is open. find_next_runs: collection -> when its next cycle
    is due. list_intake: see `PrometheusMetrics.list_intake`. tokens: default: those of the
    environment. plan_files: collection -> a plan to show.
    Nothing that goes wrong in a page reaches the caller. Raises ConfigError where the address
    cannot be used, a token is missing or too short, or a package is not installed.
    """
    if config.serve.console_port is None:
        yield None
        return
    # Imported here: FastAPI and Jinja2 are an extra.
    try:
        from nudge_sync.console.access import Access, check_tokens  # noqa: PLC0415
        from nudge_sync.console.app import create_console_app  # noqa: PLC0415
        from nudge_sync.console.context import Console  # noqa: PLC0415
        from nudge_sync.console.opener import DatabaseOpener  # noqa: PLC0415
        from nudge_sync.console.pages.plan import start_plan  # noqa: PLC0415
        from nudge_sync.serve.feedback_server import serve_feedback_api  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"the console lacks a package ({error}); "
            "install it with: pip install 'nudge-sync[console]'"
        ) from error
    tokens = tokens or read_console_tokens(config)
    check_tokens(tokens.read, tokens.action)
    opener = DatabaseOpener(config, open_database, lock)
    access = Access(tokens.read, tokens.action)
    console = Console(opener, access, find_next_runs, list_intake)

    def use_config(config: Config) -> None:
        tokens = read_console_tokens(config)
        check_tokens(tokens.read, tokens.action)
        access.replace_tokens(tokens.read, tokens.action)
        opener.config = config

    for name, path in (plan_files or {}).items():
        start_plan(console, name, path)
    app = create_console_app(console)
    with serve_feedback_api(config.serve.host, config.serve.console_port, app) as port:
        try:
            yield RunningConsole(port, use_config)
        finally:
            console.jobs.close()
    opener.close()


@contextmanager
def show_console(daemon: ScheduledDaemon) -> Iterator[None]:
    """Serve the daemon's console while inside, where `serve.console_port` says so, and log it.

    See `serve_console`.
    """

    def open_database() -> Database:
        return connect(daemon.config.connector, daemon.config.connection)

    def find_next_runs() -> dict[str, float]:
        return find_next_cycles(daemon.running_schedule)

    config = daemon.config
    with serve_console(
        config,
        open_database,
        daemon.connection_lock,
        find_next_runs,
        list_intake=daemon.prometheus.list_intake,
    ) as console:
        if console is not None:
            log_message(logging.INFO, "console", host=config.serve.host, port=console.port)
        daemon.console = console
        try:
            yield
        finally:
            daemon.console = None


def read_console_tokens(config: Config) -> ConsoleTokens:
    """Return the tokens in the environment, or in the files that the configuration names.

    Raises ConfigError where a file cannot be read, or others can, and for a token that cannot be
    sent.
    """
    from nudge_sync.console.access import (  # noqa: PLC0415
        ACTION_TOKEN_VARIABLE,
        READ_TOKEN_VARIABLE,
    )

    settings = config.serve
    return ConsoleTokens(
        read_token(READ_TOKEN_VARIABLE, settings.console_token_file, "serve.console_token_file"),
        read_token(
            ACTION_TOKEN_VARIABLE,
            settings.console_action_token_file,
            "serve.console_action_token_file",
        ),
    )
