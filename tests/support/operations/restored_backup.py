"""Backups of single collections of the sidecar's own, of a database in memory."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeAlias

from nudge_sync.testing.memory import MemoryDatabase
from tests.support.tracked_collection import TrackedCollection

Backup: TypeAlias = dict[str, dict[str, Any]]
"""The records of collections, by name and key."""


def copy_records(tracked: TrackedCollection, *names: str) -> Backup:
    """Return a copy of what these collections hold."""
    return {name: deepcopy(_get_records(tracked).get(name, {})) for name in names}


def restore_records(tracked: TrackedCollection, backup: Backup) -> None:
    """Put back what the collections of a backup held; all others stay as they are."""
    _get_records(tracked).update(deepcopy(backup))


def _get_records(tracked: TrackedCollection) -> Backup:
    assert isinstance(tracked.database, MemoryDatabase)
    return tracked.database.store.records
