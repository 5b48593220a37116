"""Points of an application's own shard, with everything in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qdrant_edge import ScrollRequest

from nudge_sync.connector import Record
from nudge_sync_qdrant_common.log_documents import select_vectors, to_log_document
from nudge_sync_qdrant_edge.client import Shards
from nudge_sync_qdrant_edge.errors import translate_errors


def scan_log_documents(
    shards: Shards, name: str, vector: str | None, batch_size: int
) -> Iterator[list[Record]]:
    """See `DocumentReader.documents`."""
    offset: Any = None
    while True:
        request = ScrollRequest(
            offset=offset,
            limit=batch_size,
            with_payload=True,
            with_vector=select_vectors(vector),
        )
        shard = shards.get(name)
        with translate_errors(name):
            points, offset = shard.scroll(request)
            records = [to_log_document(point, vector) for point in points]
        if records:
            yield records
        if offset is None:
            return
