"""`check`: what is there, and what would be refused, before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.base.progress import Progress
from nudge_sync.cli import options
from nudge_sync.cli.output import print_line, print_pairs, print_result, show_progress

if TYPE_CHECKING:
    from nudge_sync.cli.run import Workspace
    from nudge_sync.config import Config


OneCollectionOption = Annotated[
    str | None,
    typer.Option(
        "--collection",
        envvar="NUDGE_SYNC_COLLECTION",
        help="Which collection; default: every one of the file.",
    ),
]
MendOption = Annotated[
    bool,
    typer.Option(
        "--mend",
        envvar="NUDGE_SYNC_CHECK_MEND",
        help="First give the sidecar's own collections the copies that a cluster keeps of yours.",
    ),
]


def check(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: OneCollectionOption = None,
    mend: MendOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Connect, and say what is there and what would be refused."""
    from nudge_sync.cli.run import list_collections, open_workspace
    from nudge_sync.store.retry import retry_transient

    with open_workspace(config) as workspace, show_progress() as progress:
        facts = retry_transient(workspace.database.describe, patience=workspace.config.patience)
        collections = {
            name: _check_or_explain(workspace, name, progress, mend=mend)
            for name in list_collections(workspace.config, collection)
        }
        problems = [
            *_find_serve_problems(workspace.config),
            *_collect_lines(collections, "problems"),
        ]
    result = {
        "ok": not problems,
        "problems": problems,
        "notes": [*facts.notes, *_collect_lines(collections, "notes")],
        "database": {
            "connector": workspace.config.connector,
            "product": facts.product,
            "version": facts.version,
        },
        "collections": collections,
    }
    print_result(result, as_json, _print_check)
    raise typer.Exit(1 if problems else 0)


def _find_serve_problems(config: Config) -> list[str]:
    """Return what `serve` would refuse of the file, each a sentence."""
    from nudge_sync.connector.secrets import read_token
    from nudge_sync.errors import ConfigError
    from nudge_sync.serve.probes import TOKEN_VARIABLE, require_token

    try:
        token = read_token(TOKEN_VARIABLE, config.serve.token_file, "serve.token_file")
        require_token(config.serve.host, token)
    except ConfigError as error:
        return [f"serve: {error}"]
    return []


def _check_or_explain(
    workspace: Workspace, name: str, progress: Progress, *, mend: bool
) -> dict[str, Any]:
    """Check a collection; an error that concerns it alone becomes its only problem."""
    from nudge_sync.cli.check_collection import check_collection
    from nudge_sync.errors import Interrupted, NudgeSyncError, Unauthorised, Unreachable
    from nudge_sync.store.copies import make_missing_copies

    try:
        job = workspace.open_job(name)
        mended = {"mended": make_missing_copies(job.target, progress)} if mend else {}
        return {**check_collection(job, progress), **mended}
    except (Unreachable, Unauthorised, Interrupted):
        raise
    except NudgeSyncError as error:
        return {"problems": [str(error)], "notes": []}


def _collect_lines(collections: dict[str, dict[str, Any]], field: str) -> list[str]:
    return [f"{name}: {line}" for name, entry in collections.items() for line in entry[field]]


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
