"""`init` and `check`: before anything is written."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.base.progress import Progress
from nudge_sync.cli import options
from nudge_sync.cli.output import emit, pairs, progress, say
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.cli.run import Workspace

_DATABASES = {
    "qdrant": """[database]
connector = "qdrant"
url = "http://localhost:6333"   # the key: QDRANT_API_KEY in the environment
""",
    "qdrant-edge": """[database]
connector = "qdrant-edge"
path = "qdrant-edge"            # a folder with one folder a collection
""",
    "milvus": """[database]
connector = "milvus"
uri = "http://localhost:19530"  # the token: MILVUS_TOKEN in the environment
""",
}


def template(connector: str) -> str:
    """A commented configuration for one of the connectors."""
    if connector not in _DATABASES:
        raise ConfigError(f"init knows {', '.join(_DATABASES)}; write [database] yourself")
    text = files("nudge_sync.cli").joinpath("template.toml").read_text(encoding="utf-8")
    return text.replace("@database@\n", _DATABASES[connector] + "\n")


def init(
    config: options.Config = options.CONFIG,
    connector: Annotated[
        str,
        typer.Option(envvar="NUDGE_SYNC_INIT_CONNECTOR", help="qdrant, qdrant-edge or milvus."),
    ] = "qdrant",
    force: Annotated[
        bool, typer.Option("--force", envvar="NUDGE_SYNC_INIT_FORCE", help="Replace the file.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Write a commented nudge-sync.toml."""
    text = template(connector)
    try:
        with config.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{config} is there already; --force replaces it") from None
    except OSError as error:
        raise ConfigError(f"{config}: {error.strerror}") from None
    emit({"config": str(config)}, as_json, lambda _: say(f"wrote {config}"))


def check(config: options.Config = options.CONFIG, as_json: options.Json = False) -> None:
    """Connect, and say what is there and what would be refused."""
    from nudge_sync.cli.run import opened

    with opened(config) as workspace, progress() as said:
        facts = workspace.database.describe()
        found = {name: _examined(workspace, name, said) for name in workspace.config.collections}
    problems = [
        f"{name}: {problem}" for name, entry in found.items() for problem in entry["problems"]
    ]
    database = {
        "connector": workspace.config.connector,
        "product": facts.product,
        "version": facts.version,
    }
    result = {
        "ok": not problems,
        "problems": problems,
        "notes": [f"{name}: {note}" for name, entry in found.items() for note in entry["notes"]],
        "database": database,
        "collections": found,
    }
    emit(result, as_json, _draw)
    raise typer.Exit(1 if problems else 0)


def _examined(workspace: Workspace, name: str, said: Progress) -> dict[str, Any]:
    """One collection: facts, feedback, ledger, and what stands in the way."""
    from nudge_sync.cli.check_collection import examine
    from nudge_sync.errors import Interrupted, NudgeSyncError, Unauthorised, Unreachable

    try:
        return examine(workspace.job(name), said)
    except (Unreachable, Unauthorised, Interrupted):
        raise
    except NudgeSyncError as error:
        return {"problems": [str(error)], "notes": []}


def _draw(result: dict[str, Any]) -> None:
    database = result["database"]
    say(f"{database['product']} {database['version']} through {database['connector']}")
    for name, entry in result["collections"].items():
        shown = {key: value for key, value in entry.items() if key not in {"problems", "notes"}}
        pairs(f"\n{name}", shown)
    for problem in result["problems"]:
        say(f"problem  {problem}")
    for note in result["notes"]:
        say(f"note     {note}")
    typer.echo("ok" if result["ok"] else "not ok: the problems above have to go first")
