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
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.schema.rows import BadRow
from nudge_sync.store.target import format_prefix, open_companion

RowKind = Literal["search", "event"]
_LOCK_TIMEOUT = 5.0
_TYPES_BY_KIND: dict[RowKind, tuple[str | None, ...]] = {
    "search": (None, "search", "query"),
    "event": (None, "event"),
}


def parse_body(body: bytes) -> list[Any]:
    """The rows in a body that holds one JSON value or a list of them. Raises BadRow."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRow("not JSON", str(error)) from None
    return content if isinstance(content, list) else [content]


@dataclass(frozen=True)
class BatchImporter:
    """Where batches go: one at a time, each through a connection of its own.

    So an embedded database, which lets one connection in, is free between two of them.
    """

    open_database: Callable[[], Database]
    vector_names: Mapping[str, str]
    """Collection -> the vector that is meant; "" is the default one."""
    lock: Lock = field(default_factory=Lock)
    """Held while a batch is stored; whoever else opens the database meanwhile may take it."""

    def store(
        self, collection_name: str, kind: RowKind, rows: Sequence[Any], *, partial: bool
    ) -> ImportReport:
        """Store `rows`, all of them or none; with `partial` the good ones.

        Raises RowsRefused, which names the bad rows, and DatabaseError; transient where the
        same batch may be sent again later. Storing a batch twice is as once.
        """
        contents = [_check_kind(row, kind) for row in rows]

        def read_rows() -> Iterator[SourceRow]:
            for at, content in enumerate(contents):
                yield SourceRow(kind, at, "", content)

        source = Source(read_rows, lambda: len(contents))
        with self._open_destination(collection_name) as destination:
            return import_rows([source], destination, strict=not partial)

    @contextmanager
    def _open_destination(self, name: str) -> Iterator[Destination]:
        if not self.lock.acquire(timeout=_LOCK_TIMEOUT):
            raise Unreachable("other batches are being stored")
        try:
            database = self.open_database()
            try:
                yield _build_destination(database, name, self.vector_names[name])
            finally:
                database.close()
        finally:
            self.lock.release()


def _build_destination(database: Database, name: str, vector_name: str) -> Destination:
    # Not through `open_target`, which tries again for half a minute: the application waits.
    collection = database.collection(name, vector_name)
    facts = collection.describe()
    prefix = format_prefix(name, facts.vector)
    return Destination(
        open_companion(database, prefix, "queries", facts.dimension),
        open_companion(database, prefix, "events", facts.dimension),
        collection,
    )


def _check_kind(row: Any, kind: RowKind) -> Mapping[str, Any] | BadRow:
    if not isinstance(row, dict):
        return BadRow("wrong type", "a row is a JSON object")
    row_type = row.get("type")
    if not (row_type is None or isinstance(row_type, str)) or row_type not in _TYPES_BY_KIND[kind]:
        return BadRow("wrong type", f'type must be "{kind}" here, or absent')
    return {**row, "type": kind}
