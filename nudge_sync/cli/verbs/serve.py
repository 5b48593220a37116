"""`serve`: the daemon."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from nudge_sync.cli import options

HostOption = Annotated[
    str | None,
    typer.Option(
        envvar="NUDGE_SYNC_SERVE_HOST",
        help="Where to answer; default: serve.host of the file. Any but this machine's own "
        "address demands a token in NUDGE_SYNC_TOKEN.",
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        envvar="NUDGE_SYNC_SERVE_PORT", min=0, max=65535, help="Default: serve.port of the file."
    ),
]
FeedbackPortOption = Annotated[
    int | None,
    typer.Option(
        envvar="NUDGE_SYNC_SERVE_FEEDBACK_PORT",
        min=0,
        max=65535,
        help="Where to take feedback over HTTP; default: serve.feedback_port of the file, or not.",
    ),
]
LogFormatOption = Annotated[
    Literal["text", "json"] | None,
    typer.Option(
        envvar="NUDGE_SYNC_SERVE_LOG_FORMAT", help="Default: serve.log_format of the file."
    ),
]
NowOption = Annotated[
    bool,
    typer.Option("--now", envvar="NUDGE_SYNC_SERVE_NOW", help="Also run every cycle at the start."),
]


def serve(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    host: HostOption = None,
    port: PortOption = None,
    feedback_port: FeedbackPortOption = None,
    log_format: LogFormatOption = None,
    now: NowOption = False,
) -> None:
    """Run cycles on their schedules; answer /healthz, /readyz and /metrics. SIGTERM ends it."""
    from threading import Event

    from nudge_sync.base.signals import (
        StopRequest,
        handle_reload_signal,
        handle_stop_signals,
    )
    from nudge_sync.config import Config, load_config
    from nudge_sync.connector.secrets import read_secret, read_token
    from nudge_sync.serve.daemon import run_daemon as run
    from nudge_sync.serve.log_lines import configure_logging
    from nudge_sync.serve.notices import webhook
    from nudge_sync.serve.probes import TOKEN_VARIABLE
    from nudge_sync.serve.reload import ConfigReload
    from nudge_sync.serve.telemetry import trace_cycles

    option_values = {
        "host": host,
        "port": port,
        "feedback_port": feedback_port,
        "log_format": log_format,
    }
    overrides = {name: value for name, value in option_values.items() if value is not None}

    def load() -> Config:
        configuration = load_config(config)
        serve_settings = configuration.serve.model_copy(update=overrides)
        return configuration.model_copy(update={"serve": serve_settings})

    configuration = load()
    token = read_token(TOKEN_VARIABLE, configuration.serve.token_file, "serve.token_file")
    webhook_url = read_secret(
        webhook.URL_VARIABLE, configuration.serve.webhook_url_file, "serve.webhook_url_file"
    )
    webhook_secret = read_secret(
        webhook.SECRET_VARIABLE,
        configuration.serve.webhook_secret_file,
        "serve.webhook_secret_file",
    )
    receiver = webhook.Webhook(webhook_url, webhook_secret) if webhook_url else None
    configure_logging(configuration.serve.log_format)
    with (
        handle_stop_signals(StopRequest()) as stop,
        handle_reload_signal(Event()) as requested,
        trace_cycles(configuration.connector),
    ):
        run(
            configuration,
            stop,
            ConfigReload(load, requested),
            token,
            webhook=receiver,
            run_at_start=now,
        )
