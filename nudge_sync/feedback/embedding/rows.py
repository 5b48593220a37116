"""Embedding of searches that come with a text and no vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, cast

from nudge_sync.feedback.embedding.embedder import Embedder
from nudge_sync.feedback.embedding.stored_vectors import StoredVector, StoredVectors
from nudge_sync.feedback.ingest.seen_keys import SeenKeys
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.schema.rows import (
    get_query_id,
    get_query_text,
    has_event_fields,
    has_vector,
)
from nudge_sync.feedback.schema.values import BadRow

_ROW_BATCH_SIZE = 1000
_MISSING_VECTOR = BadRow("missing field", "a search needs query_vector, or a text to embed")


def embed_source(
    source: Source, embedder: Embedder | None, stored: StoredVectors | None = None
) -> Source:
    """Return the rows of `source`, where each search without a vector gets that of its text.

    A search that has no text either is a bad row, and so is one whose text the model refuses. The
    row of an event makes a search too, if it has the query's text, and no row before it told of
    that query. stored: vectors of texts that need not be embedded again. Without an embedder,
    searches that are not stored stay as they are. The rows end before the first search that would
    exceed the embedder's `max_texts`. Reading raises InputError as `Embedder.embed` does.
    """

    def read_rows() -> Iterator[SourceRow]:
        remaining, seen_query_ids = source.read_rows(), SeenKeys()
        while batch := [
            _select_text(row, seen_query_ids) for row in islice(remaining, _ROW_BATCH_SIZE)
        ]:
            yield from _embed_batch(batch, embedder, stored)
            if embedder is not None and embedder.is_spent:
                return

    return replace(source, read_rows=read_rows)


def _embed_batch(
    batch: Sequence[tuple[SourceRow, str]],
    embedder: Embedder | None,
    stored: StoredVectors | None,
) -> Iterator[SourceRow]:
    searches = [(_get_id(row), text) if text else None for row, text in batch]
    wanted = [search for search in searches if search is not None]
    known = stored.find(wanted) if stored is not None else {}
    new = [search[1] for search in wanted if search not in known]
    vectors = embedder.embed(new) if embedder is not None else {}
    for (row, text), search in zip(batch, searches, strict=True):
        if search is None:
            yield row
        elif search in known:
            yield _add_vector(row, known[search])
        elif embedder is None:
            yield row
        elif text in vectors:
            yield _add_vector(row, StoredVector(vectors[text], embedder.name))
        elif text in embedder.refusals:
            yield replace(row, content=BadRow("not embedded", embedder.refusals[text]))
        else:
            return


def _select_text(row: SourceRow, seen_query_ids: SeenKeys) -> tuple[SourceRow, str]:
    """Return the row and the text to embed, which is "" if nothing is to be embedded."""
    content = row.content
    if isinstance(content, BadRow) or content.get("type") == "event":
        return row, ""
    try:
        text = get_query_text(content)
        is_event = has_event_fields(content)
        is_new = bool(text or not is_event) and seen_query_ids.add(get_query_id(content))
    except BadRow as bad:
        return replace(row, content=bad), ""
    if has_vector(content):
        return row, ""
    if is_event:
        return row, text if is_new or content.get("shown") else ""
    return (row, text) if text else (replace(row, content=_MISSING_VECTOR), "")


def _get_id(row: SourceRow) -> str:
    return get_query_id(cast(Mapping[str, Any], row.content))


def _add_vector(row: SourceRow, found: StoredVector) -> SourceRow:
    content = cast(Mapping[str, Any], row.content)
    return replace(
        row,
        content={**content, "query_vector": found.vector},
        embedded_by=found.embedded_by,
    )
