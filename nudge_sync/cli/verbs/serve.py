"""`serve`: the daemon."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from nudge_sync.cli import options

Host = Annotated[
    str | None,
    typer.Option(
        envvar="NUDGE_SYNC_SERVE_HOST",
        help="Where to answer; default: serve.host of the file. Any but this machine's own "
        "address demands a token in NUDGE_SYNC_TOKEN.",
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        envvar="NUDGE_SYNC_SERVE_PORT", min=0, max=65535, help="Default: serve.port of the file."
    ),
]
FeedbackPort = Annotated[
    int | None,
    typer.Option(
        envvar="NUDGE_SYNC_SERVE_FEEDBACK_PORT",
        min=0,
        max=65535,
        help="Where to take feedback over HTTP; default: serve.feedback_port of the file, or not.",
    ),
]
LogFormat = Annotated[
    Literal["text", "json"] | None,
    typer.Option(
        envvar="NUDGE_SYNC_SERVE_LOG_FORMAT", help="Default: serve.log_format of the file."
    ),
]
Now = Annotated[
    bool,
    typer.Option("--now", envvar="NUDGE_SYNC_SERVE_NOW", help="Also run every cycle at the start."),
]


def serve(
    config: options.Config = options.CONFIG,
    host: Host = None,
    port: Port = None,
    feedback_port: FeedbackPort = None,
    log_format: LogFormat = None,
    now: Now = False,
) -> None:
    """Run cycles on their schedules; answer /healthz, /readyz and /metrics. SIGTERM ends it."""
    from nudge_sync.base.signals import Stop, on_signal
    from nudge_sync.config import load
    from nudge_sync.connector.secrets import read_secret
    from nudge_sync.serve.daemon import serve as run
    from nudge_sync.serve.log_lines import set_up
    from nudge_sync.serve.probes import TOKEN

    asked = {
        "host": host,
        "port": port,
        "feedback_port": feedback_port,
        "log_format": log_format,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    settings = load(config)
    settings = settings.model_copy(update={"serve": settings.serve.model_copy(update=given)})
    token = read_secret(TOKEN, settings.serve.token_file, "serve.token_file")
    set_up(settings.serve.log_format)
    with on_signal(Stop()) as stop:
        run(settings, stop, token, at_once=now)
