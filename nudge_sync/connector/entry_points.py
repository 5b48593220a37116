"""The connectors that are installed, found through their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from nudge_sync.connector.contract import Connect, Database
from nudge_sync.errors import ConfigError

ENTRY_POINT_GROUP = "nudge_sync.connectors"
"""Where a distribution registers its `connect` function, under the connector's name."""


def connector_names() -> list[str]:
    """Return the names of all installed connectors, sorted."""
    return sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)})


def connect(name: str, section: Mapping[str, Any]) -> Database:
    """Open a database through the connector registered as `name`.

    Raises ConfigError for an unknown name, or where the connector's client is not installed.
    """
    entries = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in entries:
        known = ", ".join(sorted(entries)) or "none"
        raise ConfigError(f"no connector is called {name!r}; installed are: {known}")
    try:
        connect_function: Connect = entries[name].load()
    except ImportError as error:
        raise ConfigError(
            f"the connector {name!r} lacks a package ({error}); "
            f"install it with: pip install 'nudge-sync[{name}]'"
        ) from error
    return connect_function(section)
