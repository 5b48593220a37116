"""What people see of a point beside its id: title and address, from payload fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from nudge_sync.connector import PayloadReader, PointId
from nudge_sync.console.context import Console
from nudge_sync.errors import NudgeSyncError
from nudge_sync.settings.console import ConsoleSettings
from nudge_sync.store.target import Target

MAX_TITLE_LENGTH = 160
"""Characters of a title that are shown."""


@dataclass(frozen=True, slots=True)
class PointTitle:
    """What a point is called."""

    text: str
    """"" where the point has no title."""
    link: str
    """An http or https address, or ""."""


def read_titles(
    target: Target, settings: ConsoleSettings, ids: Iterable[PointId]
) -> dict[PointId, PointTitle]:
    """Return the titles of these points, as far as payload fields are configured and readable.

    Raises DatabaseError.
    """
    fields = [name for name in (settings.title, settings.link) if name]
    collection = target.collection.wrapped
    if not fields or not isinstance(collection, PayloadReader):
        return {}
    payloads = collection.read_payloads(list(dict.fromkeys(ids)), fields)
    return {id_: _build_title(payload, settings) for id_, payload in payloads.items()}


def find_titles(console: Console, name: str, ids: Iterable[PointId]) -> dict[PointId, PointTitle]:
    """Return the titles of points of the collection `name`; none where they cannot be read.

    The page says as much without them: ids stand in their place.
    """
    with suppress(NudgeSyncError), console.opener.open_target(name) as target:
        return read_titles(target, console.opener.get_settings(name).console, ids)
    return {}


def _build_title(payload: Mapping[str, Any], settings: ConsoleSettings) -> PointTitle:
    title, link = payload.get(settings.title), payload.get(settings.link)
    text = "" if title is None else str(title)
    if len(text) > MAX_TITLE_LENGTH:
        text = f"{text[:MAX_TITLE_LENGTH]}…"
    return PointTitle(text, link if isinstance(link, str) and is_web_address(link) else "")


def is_web_address(text: str) -> bool:
    """Return whether a text may be the target of a link: http or https with a host."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and text.isprintable()
