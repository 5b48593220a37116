"""The options that several verbs share, each with its environment variable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG_PATH = Path("nudge-sync.toml")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="NUDGE_SYNC_CONFIG", help="The TOML file.")
]
CollectionOption = Annotated[
    str | None,
    typer.Option(
        envvar="NUDGE_SYNC_COLLECTION", help="Which collection; default: the only one there is."
    ),
]
AllOption = Annotated[
    bool, typer.Option("--all", envvar="NUDGE_SYNC_ALL", help="Every collection of the file.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", envvar="NUDGE_SYNC_JSON", help="Print one JSON document.")
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", envvar="NUDGE_SYNC_YES", help="Write without asking.")
]
ExactOption = Annotated[
    bool,
    typer.Option(
        "--exact",
        envvar="NUDGE_SYNC_EXACT",
        help="Search exactly, past the index. Reads the whole collection where the database "
        "cannot do that by itself.",
    ),
]

ReasonOption = Annotated[
    str, typer.Option(envvar="NUDGE_SYNC_REASON", help="Why; kept in the database, for others.")
]
ByOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        envvar="NUDGE_SYNC_BY",
        help="Who; kept in the database, for others. Default: the user and the machine.",
    ),
]

# Whose feedback `forget` removes and `feedback export` prints.
ClientOption = Annotated[
    str, typer.Option(envvar="NUDGE_SYNC_FEEDBACK_CLIENT", help="Everything of this client.")
]
SessionOption = Annotated[
    str, typer.Option(envvar="NUDGE_SYNC_FEEDBACK_SESSION", help="Everything of this session.")
]
QueryOption = Annotated[
    str, typer.Option(envvar="NUDGE_SYNC_FEEDBACK_QUERY", help="This search and all its events.")
]
BeforeOption = Annotated[
    str,
    typer.Option(
        metavar="DAY",
        envvar="NUDGE_SYNC_FEEDBACK_BEFORE",
        help="Everything dated before this day, such as 2026-05-01 (UTC).",
    ),
]
