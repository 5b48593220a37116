"""The configuration, the open database, and the collections that a verb works on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nudge_sync.cli.errors import (
    GATE_REFUSED_EXIT_CODE,
    describe_failure,
    get_exit_code,
    summarise_error,
)
from nudge_sync.cli.output import print_notice
from nudge_sync.config import CollectionSettings, Config, load_config
from nudge_sync.connector import Database, connect
from nudge_sync.errors import ConfigError, Interrupted, NudgeSyncError
from nudge_sync.store.retry import retry_transient
from nudge_sync.store.target import Target, open_target


@dataclass(frozen=True)
class Job:
    """A collection to work on, and its settings."""

    target: Target
    settings: CollectionSettings

    def choose_settings(self, exact: bool) -> CollectionSettings:
        """Return the settings, with `solver.exact` switched on where `exact` asks for it."""
        if not exact:
            return self.settings
        solver = self.settings.solver.model_copy(update={"exact": True})
        return self.settings.model_copy(update={"solver": solver})


@dataclass(frozen=True)
class RefusedResult:
    """A result that is printed like any other, and ends with the gate's exit code."""

    summary: dict[str, Any]
    reason: str


@dataclass(frozen=True)
class Workspace:
    """An open database and the configuration it was opened with."""

    config: Config
    database: Database

    def open_job(self, name: str) -> Job:
        """Open the collection that the configuration calls `name`."""
        settings = self.config.collections[name]
        return Job(
            open_target(self.database, name, settings.vector, self.config.patience), settings
        )


@contextmanager
def open_workspace(path: Path) -> Iterator[Workspace]:
    """Open the database that the TOML file at `path` describes; it is closed at the end."""
    config = load_config(path)
    database = retry_transient(
        lambda: connect(config.connector, config.connection), patience=config.patience
    )
    try:
        yield Workspace(config, database)
    finally:
        database.close()


@contextmanager
def open_job(path: Path, collection: str | None) -> Iterator[Job]:
    """Open one collection of the TOML file at `path`; the database is closed at the end.

    collection: its name; None: the only one there is. Raises ConfigError that lists the names.
    """
    with open_workspace(path) as workspace:
        yield workspace.open_job(_select_collection(workspace.config, collection))


def run_on_collections(
    path: Path, collection: str | None, all_collections: bool, work: Callable[[Job], Any]
) -> tuple[Any, int]:
    """Return what `work` returns for the collections asked for, and the worst exit code.

    One collection: its result. With `all_collections` a list: an error of one collection is
    printed on stderr and takes its place in the list, and the others go on. A RefusedResult becomes
    its summary, with the reason in "error", as for any error.
    """
    with open_workspace(path) as workspace:
        if not all_collections:
            name = _select_collection(workspace.config, collection, "--collection NAME or --all")
            return _run_on_collection(workspace, name, work)
        if collection is not None:
            raise ConfigError("say --collection or --all, not both")
        outcomes = [
            _run_or_print_error(workspace, name, work) for name in workspace.config.collections
        ]
    return [result for result, _ in outcomes], max(code for _, code in outcomes)


def list_collections(config: Config, collection: str | None) -> list[str]:
    """Return `collection` alone, or every one of the file where it is None.

    Raises ConfigError that lists the names.
    """
    if collection is None:
        return list(config.collections)
    return [_select_collection(config, collection)]


def _select_collection(
    config: Config, collection: str | None, options: str = "--collection NAME"
) -> str:
    names = ", ".join(config.collections)
    if collection is None and len(config.collections) > 1:
        raise ConfigError(f"say {options}; the file has: {names}")
    if collection is not None and collection not in config.collections:
        raise ConfigError(f"no collection {collection!r} in the file; it has: {names}")
    return collection or next(iter(config.collections))


def _run_on_collection(
    workspace: Workspace, name: str, work: Callable[[Job], Any]
) -> tuple[Any, int]:
    result = work(workspace.open_job(name))
    if isinstance(result, RefusedResult):
        print_notice(f"{name}: {result.reason}")
        failure = describe_failure("GateRefused", result.reason, GATE_REFUSED_EXIT_CODE)
        return {**result.summary, "error": failure}, GATE_REFUSED_EXIT_CODE
    return result, 0


def _run_or_print_error(
    workspace: Workspace, name: str, work: Callable[[Job], Any]
) -> tuple[Any, int]:
    try:
        return _run_on_collection(workspace, name, work)
    except Interrupted:
        raise
    except NudgeSyncError as error:
        print_notice(f"{name}: {error}")
        return {"collection": name, "error": summarise_error(error)}, get_exit_code(error)
