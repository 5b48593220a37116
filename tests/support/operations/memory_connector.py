"""An installed connector, `memory`, whose servers are in this process and can be taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nudge_sync.config import Config
from nudge_sync.connector import Database
from nudge_sync.errors import Unreachable
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore

ENTRY_POINTS = """
[nudge_sync.connectors]
memory = tests.support.operations.memory_connector:connect
"""


class MemoryServers:
    """Servers by their names; one that is not there does not answer."""

    def __init__(self) -> None:
        self.opened: dict[str, Callable[[], Database]] = {}

    def start(self, name: str, *collections: str) -> None:
        store = MemoryStore()
        for collection in collections:
            store.create(collection, 2)
        self.opened[name] = lambda: MemoryDatabase(store)

    def stop(self, name: str) -> None:
        del self.opened[name]


_SERVERS = MemoryServers()


def connect(section: Mapping[str, Any]) -> Database:
    """Open the database of the server that the section names."""
    if section["server"] not in _SERVERS.opened:
        raise Unreachable(f"{section['server']} does not answer")
    return _SERVERS.opened[section["server"]]()


def install_memory_connector(folder: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryServers:
    """Install the connector for one test, and return its servers, of which there is none yet."""
    information = folder / "memory_for_nudge_sync-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: memory-for-nudge-sync\nVersion: 1.0\n", encoding="utf-8"
    )
    (information / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    _SERVERS.opened.clear()
    return _SERVERS


def make_memory_config(server: str, collections: Mapping[str, Any], **serve: Any) -> Config:
    """Return a configuration of the collections on one of the servers."""
    return Config.model_validate(
        {
            "database": {"connector": "memory", "server": server, "patience": "1s"},
            "collections": collections,
            "serve": serve,
        }
    )
