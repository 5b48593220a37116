"""Batches of rows that an application sends, into the sidecar's records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal

from nudge_sync.connector import Database
from nudge_sync.errors import Unreachable
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.report import ImportReport
from nudge_sync.feedback.ingest.sources import Row, Source
from nudge_sync.feedback.schema.records import EVENTS_INDEXED, QUERIES_INDEXED
from nudge_sync.feedback.schema.rows import BadRow
from nudge_sync.store.target import state_name

Kind = Literal["search", "event"]
_PATIENCE = 5.0
_KINDS: dict[Kind, tuple[str | None, ...]] = {
    "search": (None, "search", "query"),
    "event": (None, "event"),
}


def rows_in(body: bytes) -> list[Any]:
    """The rows in a body that holds one JSON value or a list of them. Raises BadRow."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRow("not JSON", str(error)) from None
    return content if isinstance(content, list) else [content]


@dataclass(frozen=True)
class Batches:
    """Where batches go: one at a time, each through a connection of its own.

    So an embedded database, which lets one connection in, is free between two of them.
    """

    opened: Callable[[], Database]
    vectors: Mapping[str, str]
    """Collection -> the vector that is meant; "" is the default one."""
    lock: Lock = field(default_factory=Lock)
    """Held while a batch is stored; whoever else opens the database meanwhile may take it."""

    def store(
        self, collection: str, kind: Kind, rows: Sequence[Any], *, partial: bool
    ) -> ImportReport:
        """Store `rows`, all of them or none; with `partial` the good ones.

        Raises RowsRefused, which names the bad rows, and DatabaseError; transient where the
        same batch may be sent again later. Storing a batch twice is as once.
        """
        contents = [_of_kind(row, kind) for row in rows]

        def numbered() -> Iterator[Row]:
            for at, content in enumerate(contents):
                yield Row(kind, at, "", content)

        source = Source(numbered, lambda: len(contents))
        with self._destination(collection) as place:
            return import_rows([source], place, strict=not partial)

    @contextmanager
    def _destination(self, name: str) -> Iterator[Destination]:
        if not self.lock.acquire(timeout=_PATIENCE):
            raise Unreachable("other batches are being stored")
        try:
            database = self.opened()
            try:
                yield _destination(database, name, self.vectors[name])
            finally:
                database.close()
        finally:
            self.lock.release()


def _destination(database: Database, name: str, vector: str) -> Destination:
    # Not through `open_target`, which tries again for half a minute: the application waits.
    collection = database.collection(name, vector)
    facts = collection.describe()
    place = state_name(name, facts.vector)
    return Destination(
        database.records(f"{place}__nudge_queries", facts.dimension, QUERIES_INDEXED),
        database.records(f"{place}__nudge_events", 0, EVENTS_INDEXED),
        collection,
    )


def _of_kind(row: Any, kind: Kind) -> Mapping[str, Any] | BadRow:
    if not isinstance(row, dict):
        return BadRow("wrong type", "a row is a JSON object")
    given = row.get("type")
    if not (given is None or isinstance(given, str)) or given not in _KINDS[kind]:
        return BadRow("wrong type", f'type must be "{kind}" here, or absent')
    return {**row, "type": kind}
