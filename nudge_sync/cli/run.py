"""The configuration, the open database and the collections a verb was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nudge_sync import config as configuration
from nudge_sync.cli.main import GATE_REFUSED_EXIT_CODE, get_exit_code, print_error
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import Database, connect
from nudge_sync.errors import ConfigError, Interrupted, NudgeSyncError
from nudge_sync.store.target import Target, open_target


@dataclass(frozen=True)
class Job:
    """One collection to work on, and its settings."""

    target: Target
    settings: CollectionSettings


@dataclass(frozen=True)
class RefusedResult:
    """A result of a verb that is shown like any other, but ends with the gate's exit code."""

    summary: dict[str, Any]
    reason: str


@dataclass(frozen=True)
class Workspace:
    """An open database and the configuration it was opened with."""

    config: configuration.Config
    database: Database

    def open_job(self, name: str) -> Job:
        """The collection `name` of the configuration."""
        settings = self.config.collections[name]
        return Job(open_target(self.database, name, settings.vector), settings)


@contextmanager
def open_workspace(path: Path) -> Iterator[Workspace]:
    """The workspace that the TOML file at `path` describes; the database is closed at the end."""
    config = configuration.load_config(path)
    database = connect(config.connector, config.connection)
    try:
        yield Workspace(config, database)
    finally:
        database.close()


def select_collections(
    config: configuration.Config, collection: str | None, all_collections: bool
) -> list[str]:
    """The names asked for: one, the only one, or all. Raises ConfigError that lists the names."""
    names = list(config.collections)
    if collection is not None and all_collections:
        raise ConfigError("say --collection or --all, not both")
    if collection is not None and collection not in names:
        raise ConfigError(f"no collection {collection!r} in the file; it has: {', '.join(names)}")
    if collection is not None:
        return [collection]
    if all_collections or len(names) == 1:
        return names
    raise ConfigError(f"say --collection NAME or --all; the file has: {', '.join(names)}")


def run_on_collections(
    path: Path, collection: str | None, all_collections: bool, work: Callable[[Job], Any]
) -> tuple[Any, int]:
    """What `work` gives for each collection asked for, and the worst exit code.

    One collection: its result; errors are raised, but for a refusal by the gate, whose plan is a
    result worth seeing. With `--all` a list: an error of one is said on stderr and takes its
    place in the list, and the others go on.
    """
    with open_workspace(path) as workspace:
        names = select_collections(workspace.config, collection, all_collections)
        if not all_collections:
            return _run_on_collection(workspace, names[0], work)
        outcomes = [_run_or_print_error(workspace, name, work) for name in names]
    return [result for result, _ in outcomes], max(code for _, code in outcomes)


def _run_on_collection(
    workspace: Workspace, name: str, work: Callable[[Job], Any]
) -> tuple[Any, int]:
    result = work(workspace.open_job(name))
    if isinstance(result, RefusedResult):
        print_error(f"{name}: {result.reason}")
        return {**result.summary, "error": result.reason}, GATE_REFUSED_EXIT_CODE
    return result, 0


def _run_or_print_error(
    workspace: Workspace, name: str, work: Callable[[Job], Any]
) -> tuple[Any, int]:
    try:
        return _run_on_collection(workspace, name, work)
    except Interrupted:
        raise
    except NudgeSyncError as error:
        print_error(f"{name}: {error}")
        return {"collection": name, "error": str(error)}, get_exit_code(error)
