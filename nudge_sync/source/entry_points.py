"""The feedback sources that are installed, found through their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from nudge_sync.errors import ConfigError
from nudge_sync.source.contract import FeedbackSource, OpenFeedbackSource

SOURCE_ENTRY_POINT_GROUP = "nudge_sync.feedback_sources"
"""Where a distribution registers the function that opens a source, under the kind of source."""


def list_source_kinds() -> list[str]:
    """Return the kinds of source that are installed, sorted."""
    return sorted({point.name for point in entry_points(group=SOURCE_ENTRY_POINT_GROUP)})


def open_feedback_source(kind: str, section: Mapping[str, Any]) -> FeedbackSource:
    """Open a source through the function registered as `kind`.

    Raises ConfigError for an unknown kind, or where a package that it needs is not installed.
    """
    entries = {point.name: point for point in entry_points(group=SOURCE_ENTRY_POINT_GROUP)}
    if kind not in entries:
        known = ", ".join(sorted(entries)) or "none"
        raise ConfigError(f"no feedback source is called {kind!r}; installed are: {known}")
    try:
        open_source: OpenFeedbackSource = entries[kind].load()
        return open_source(section)
    except ImportError as error:
        raise ConfigError(
            f"the feedback source {kind!r} lacks a package ({error}); "
            "install it with: pip install 'nudge-sync[sources]'"
        ) from error
