"""`init` and `check`: before anything is written."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.base.progress import Progress
from nudge_sync.cli import options
from nudge_sync.cli.output import print_line, print_pairs, print_result, show_progress
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.cli.run import Workspace

_DATABASE_SECTIONS = {
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


def render_template(connector: str) -> str:
    """A commented configuration for one of the connectors."""
    if connector not in _DATABASE_SECTIONS:
        raise ConfigError(f"init knows {', '.join(_DATABASE_SECTIONS)}; write [database] yourself")
    text = files("nudge_sync.cli").joinpath("template.toml").read_text(encoding="utf-8")
    return text.replace("@database@\n", _DATABASE_SECTIONS[connector] + "\n")


def init(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    connector: Annotated[
        str,
        typer.Option(envvar="NUDGE_SYNC_INIT_CONNECTOR", help="qdrant, qdrant-edge or milvus."),
    ] = "qdrant",
    force: Annotated[
        bool, typer.Option("--force", envvar="NUDGE_SYNC_INIT_FORCE", help="Replace the file.")
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Write a commented nudge-sync.toml."""
    text = render_template(connector)
    try:
        with config.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{config} is there already; --force replaces it") from None
    except OSError as error:
        raise ConfigError(f"{config}: {error.strerror}") from None
    print_result({"config": str(config)}, as_json, lambda _: print_line(f"wrote {config}"))


def check(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH, as_json: options.JsonOption = False
) -> None:
    """Connect, and say what is there and what would be refused."""
    from nudge_sync.cli.run import open_workspace

    with open_workspace(config) as workspace, show_progress() as progress:
        facts = workspace.database.describe()
        collections = {
            name: _describe_collection(workspace, name, progress)
            for name in workspace.config.collections
        }
    problems = [
        f"{name}: {problem}" for name, entry in collections.items() for problem in entry["problems"]
    ]
    database = {
        "connector": workspace.config.connector,
        "product": facts.product,
        "version": facts.version,
    }
    result = {
        "ok": not problems,
        "problems": problems,
        "notes": [
            f"{name}: {note}" for name, entry in collections.items() for note in entry["notes"]
        ],
        "database": database,
        "collections": collections,
    }
    print_result(result, as_json, _print_check)
    raise typer.Exit(1 if problems else 0)


def _describe_collection(workspace: Workspace, name: str, progress: Progress) -> dict[str, Any]:
    """One collection: facts, feedback, ledger, and what stands in the way."""
    from nudge_sync.cli.check_collection import check_collection
    from nudge_sync.errors import Interrupted, NudgeSyncError, Unauthorised, Unreachable

    try:
        return check_collection(workspace.open_job(name), progress)
    except (Unreachable, Unauthorised, Interrupted):
        raise
    except NudgeSyncError as error:
        return {"problems": [str(error)], "notes": []}


def _print_check(result: dict[str, Any]) -> None:
    database = result["database"]
    print_line(f"{database['product']} {database['version']} through {database['connector']}")
    for name, entry in result["collections"].items():
        shown = {key: value for key, value in entry.items() if key not in {"problems", "notes"}}
        print_pairs(f"\n{name}", shown)
    for problem in result["problems"]:
        print_line(f"problem  {problem}")
    for note in result["notes"]:
        print_line(f"note     {note}")
    typer.echo("ok" if result["ok"] else "not ok: the problems above have to go first")
