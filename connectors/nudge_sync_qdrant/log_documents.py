"""Points of an application's own collection, with everything in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nudge_sync.connector import Record
from nudge_sync_qdrant.client import Connection
from nudge_sync_qdrant_common.log_documents import select_vectors, to_log_document


def scan_log_documents(
    connection: Connection, name: str, vector: str | None, batch_size: int
) -> Iterator[list[Record]]:
    """See `DocumentReader.documents`."""
    offset: Any = None
    while True:
        with connection.translate_errors(f'"{name}"'):
            points, offset = connection.client.scroll(
                name,
                limit=batch_size,
                offset=offset,
                with_payload=True,
                with_vectors=select_vectors(vector),
            )
        if points:
            yield [to_log_document(point, vector) for point in points]
        if offset is None:
            return
