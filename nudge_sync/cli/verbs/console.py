"""`console`: pages to look at collections, plans and feedback."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import print_line, print_notice
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.config import Config
    from nudge_sync.serve.console_server import ConsoleTokens

ConsoleHostOption = Annotated[
    str | None,
    typer.Option(
        "--host", envvar="NUDGE_SYNC_CONSOLE_HOST", help="Default: serve.host of the file."
    ),
]
ConsolePortOption = Annotated[
    int | None,
    typer.Option(
        "--port",
        envvar="NUDGE_SYNC_CONSOLE_PORT",
        min=0,
        max=65535,
        help="Default: serve.console_port of the file, or any free one.",
    ),
]
ConsolePlanOption = Annotated[
    Path | None,
    typer.Option(
        "--plan", envvar="NUDGE_SYNC_CONSOLE_PLAN", help="Show this plan, of `plan --out`."
    ),
]
ActOption = Annotated[
    bool,
    typer.Option(
        "--act",
        envvar="NUDGE_SYNC_CONSOLE_ACT",
        help="Let the acting token apply, roll back, hold and release; without, pages only read.",
    ),
]


def console(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    host: ConsoleHostOption = None,
    port: ConsolePortOption = None,
    plan: ConsolePlanOption = None,
    act: ActOption = False,
) -> None:
    """Show collections, plans and feedback in a browser. Reads only, unless --act. Ctrl-C ends."""
    from threading import Lock

    from nudge_sync.base.signals import StopRequest, handle_stop_signals
    from nudge_sync.config import load_config
    from nudge_sync.connector import connect
    from nudge_sync.planning.plan_file import load_plan
    from nudge_sync.serve.console_server import serve_console
    from nudge_sync.serve.log_lines import configure_logging

    configuration = load_config(config)
    settings = configuration.serve
    settings = settings.model_copy(
        update={
            "host": host or settings.host,
            "console_port": port if port is not None else settings.console_port or 0,
        }
    )
    configuration = configuration.model_copy(update={"serve": settings})
    plan_files = {_select_plan_collection(configuration, collection): plan} if plan else {}
    for plan_file in plan_files.values():
        # It is read again for its page; a mistake is better known before there is one.
        load_plan(plan_file)
    tokens, is_made_up = _choose_tokens(configuration, act)
    configure_logging(settings.log_format)
    with (
        handle_stop_signals(StopRequest()) as stop,
        serve_console(
            configuration,
            lambda: connect(configuration.connector, configuration.connection),
            Lock(),
            dict,
            tokens=tokens,
            plan_files=plan_files,
        ) as running,
    ):
        bound_port = running.port if running else settings.console_port
        address = f"http://{_format_host(settings.host)}:{bound_port}"
        print_line(
            f"{address}/login?token={tokens.action or tokens.read}" if is_made_up else address
        )
        print_notice("the console runs until Ctrl-C")
        while not stop.wait():
            pass


def _choose_tokens(configuration: Config, act: bool) -> tuple[ConsoleTokens, bool]:
    """Return the tokens, and whether they were made up here because there were none.

    Without `act` nothing opens the actions.
    """
    from nudge_sync.serve.console_server import ConsoleTokens, read_console_tokens

    given = read_console_tokens(configuration)
    if not given.read and not (act and given.action):
        token = secrets.token_urlsafe(24)
        return ConsoleTokens("" if act else token, token if act else ""), True
    return ConsoleTokens(given.read, given.action if act else ""), False


def _select_plan_collection(configuration: Config, collection: str | None) -> str:
    names = list(configuration.collections)
    if collection is None and len(names) > 1:
        raise ConfigError(
            f"say whose plan it is: --collection NAME; the file has: {', '.join(names)}"
        )
    if collection is not None and collection not in names:
        raise ConfigError(f"no collection {collection!r} in the file; it has: {', '.join(names)}")
    return collection or names[0]


def _format_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
