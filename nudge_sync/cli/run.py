"""The configuration, the open database and the collections a verb was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nudge_sync import config as configuration
from nudge_sync.cli.main import complain, exit_code
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import Database, connect
from nudge_sync.errors import ConfigError, GateRefused, Interrupted, NudgeSyncError
from nudge_sync.store.target import Target, open_target


@dataclass(frozen=True)
class Job:
    """One collection to work on, and its settings."""

    target: Target
    settings: CollectionSettings


@dataclass(frozen=True)
class Workspace:
    """An open database and the configuration it was opened with."""

    config: configuration.Config
    database: Database

    def job(self, name: str) -> Job:
        """The collection `name` of the configuration."""
        settings = self.config.collections[name]
        return Job(open_target(self.database, name, settings.vector), settings)


@contextmanager
def opened(path: Path) -> Iterator[Workspace]:
    """The workspace that the TOML file at `path` describes; the database is closed at the end."""
    config = configuration.load(path)
    database = connect(config.connector, config.connection)
    try:
        yield Workspace(config, database)
    finally:
        database.close()


def chosen(config: configuration.Config, collection: str | None, everything: bool) -> list[str]:
    """The names asked for: one, the only one, or all. Raises ConfigError that lists the names."""
    names = list(config.collections)
    if collection is not None and everything:
        raise ConfigError("say --collection or --all, not both")
    if collection is not None and collection not in names:
        raise ConfigError(f"no collection {collection!r} in the file; it has: {', '.join(names)}")
    if collection is not None:
        return [collection]
    if everything or len(names) == 1:
        return names
    raise ConfigError(f"say --collection NAME or --all; the file has: {', '.join(names)}")


def each(
    path: Path, collection: str | None, everything: bool, work: Callable[[Job], Any]
) -> tuple[Any, int]:
    """What `work` gives for each collection asked for, and the worst exit code.

    One collection: its result; errors are raised, but for a refusal by the gate, whose plan is a
    result worth seeing. With `--all` a list: an error of one is said on stderr and takes its
    place in the list, and the others go on.
    """
    with opened(path) as workspace:
        names = chosen(workspace.config, collection, everything)
        if not everything:
            return _outcome(workspace, names[0], work)
        outcomes = [_outcome_or_error(workspace, name, work) for name in names]
    return [result for result, _ in outcomes], max(code for _, code in outcomes)


def _outcome(workspace: Workspace, name: str, work: Callable[[Job], Any]) -> tuple[Any, int]:
    try:
        return work(workspace.job(name)), 0
    except GateRefused as error:
        done = getattr(error, "applied", None) or getattr(error, "plan", None)
        if done is None:
            raise
        complain(f"{name}: {error}")
        return {**done.summary(), "error": str(error)}, error.exit_code


def _outcome_or_error(
    workspace: Workspace, name: str, work: Callable[[Job], Any]
) -> tuple[Any, int]:
    try:
        return _outcome(workspace, name, work)
    except Interrupted:
        raise
    except NudgeSyncError as error:
        complain(f"{name}: {error}")
        return {"collection": name, "error": str(error)}, exit_code(error)
