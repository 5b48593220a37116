"""Import of batches of rows that an application sends, such as over HTTP."""

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
from nudge_sync.feedback.schema.fields import normalise_row
from nudge_sync.feedback.schema.rows import has_event_fields, has_vector
from nudge_sync.feedback.schema.values import BadRow
from nudge_sync.store.target import format_prefix, open_companion

RowKind = Literal["search", "event"]
_LOCK_TIMEOUT = 5.0
_TYPES_BY_KIND: dict[RowKind, tuple[str | None, ...]] = {
    "search": (None, "search", "query"),
    "event": (None, "event"),
}


def parse_body(body: bytes) -> list[Any]:
    """Return the rows in the body of a request: a JSON list, or one JSON value.

    Raises BadRow if it is not JSON.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRow("not JSON", str(error)) from None
    return content if isinstance(content, list) else [content]


@dataclass(frozen=True)
class BatchImporter:
    """Stores batches of rows, one at a time, each through a connection of its own.

    An embedded database lets one connection in; it is free between two batches.
    """

    open_database: Callable[[], Database]
    vector_names: Mapping[str, str]
    """Collection -> the name of its vector; "" is the default one."""
    lock: Lock = field(default_factory=Lock)
    """Held while a batch is stored, and by whatever else in this process opens the database."""

    def store(
        self, collection_name: str, kind: RowKind, rows: Sequence[Any], *, partial: bool
    ) -> ImportReport:
        """Store `rows`, all of them or none; with `partial` all good ones.

        Storing a batch again changes nothing. Raises RowsRefused, which names the bad rows, and
        DatabaseError, which is `transient` if the batch may be sent again later.
        """
        contents = [_check_kind(row, kind) for row in rows]

        def read_rows() -> Iterator[SourceRow]:
            for index, content in enumerate(contents):
                yield SourceRow(kind, index, "", content)

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
    # Without the retries of `open_target`, up to half a minute: the application is waiting.
    collection = database.collection(name, vector_name)
    facts = collection.describe()
    prefix = format_prefix(name, facts.vector)
    return Destination(
        open_companion(database, prefix, "queries", facts),
        open_companion(database, prefix, "events", facts),
        collection,
    )


def _check_kind(row: Any, kind: RowKind) -> Mapping[str, Any] | BadRow:
    if not isinstance(row, dict):
        return BadRow("wrong type", "a row is a JSON object")
    row_type = row.get("type")
    if not (row_type is None or isinstance(row_type, str)) or row_type not in _TYPES_BY_KIND[kind]:
        return BadRow("wrong type", f'type must be "{kind}" here, or absent')
    try:
        content = normalise_row(row)
    except BadRow as bad:
        return bad
    if row_type is None and has_vector(content) and has_event_fields(content):
        # Both a search and what was done with its results, as in a file.
        return content
    return {**content, "type": kind}
