"""`mcp`: verbs as tools of an agent, by the Model Context Protocol over stdin and stdout."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from nudge_sync.cli import options
from nudge_sync.errors import ConfigError

AllowWritesOption = Annotated[
    bool,
    typer.Option(
        "--allow-writes",
        envvar="NUDGE_SYNC_MCP_ALLOW_WRITES",
        help="Also offer apply, rollback and hold; each call has to confirm which collection.",
    ),
]


def mcp(
    context: typer.Context,
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    allow_writes: AllowWritesOption = False,
) -> None:
    """Answer an agent by the Model Context Protocol: check, plan, explain, verify, log as tools."""
    from nudge_sync.config import load_config

    # A configuration that is wrong ends the program now, rather than every call later.
    load_config(config)
    try:
        from nudge_sync.cli.verbs.mcp.kept_plans import KeptPlans
        from nudge_sync.cli.verbs.mcp.tools import VerbRunner, build_server
    except ImportError as error:
        raise ConfigError(
            f"mcp lacks a package ({error}); install it with: pip install 'nudge-sync[mcp]'"
        ) from error
    runner = VerbRunner(context.find_root().command, config)
    with TemporaryDirectory(prefix="nudge-sync-") as folder:
        plans = KeptPlans(Path(folder)) if allow_writes else None
        build_server(runner, plans).run("stdio")
