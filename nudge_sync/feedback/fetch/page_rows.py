"""The rows of a page of a feedback source, as the import takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nudge_sync.connector import Records
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.schema.fields import normalise_row
from nudge_sync.feedback.schema.rows import get_query_id, is_search_without_vector
from nudge_sync.feedback.schema.values import BadRow
from nudge_sync.source import Row


def build_page_source(name: str, rows: Sequence[Row], first_line: int, queries: Records) -> Source:
    """Return the rows of a page under the names of `SPELLINGS`, numbered from `first_line`.

    A search without a vector gets that of the stored search of its id, if that has the same text:
    what comes again is not embedded again. queries: the searches that are stored.
    """
    contents = [_normalise(row) for row in rows]
    vectors = _find_stored_vectors(contents, queries)

    def read_rows() -> Iterator[SourceRow]:
        for index, content in enumerate(contents):
            raw = json.dumps(rows[index], default=_describe_array)
            yield SourceRow(name, first_line + index, raw, _add_vector(content, vectors))

    return Source(read_rows, lambda: len(contents))


def _describe_array(value: Any) -> str:
    return f"an array of shape {np.shape(value)}"


def _normalise(row: Row) -> Mapping[str, Any] | BadRow:
    try:
        return normalise_row(row)
    except BadRow as bad:
        return bad


def _list_searches_without_vector(
    contents: Iterable[Mapping[str, Any] | BadRow],
) -> Iterator[tuple[str, str]]:
    """Yield query id and text of the searches that are to be embedded."""
    for content in contents:
        if isinstance(content, BadRow) or not is_search_without_vector(content):
            continue
        text = content.get("text")
        try:
            yield get_query_id(content), text if isinstance(text, str) else ""
        except BadRow:
            continue


def _find_stored_vectors(
    contents: Sequence[Mapping[str, Any] | BadRow], queries: Records
) -> Mapping[tuple[str, str], Any]:
    """Return (query id, text) -> vector for the searches that are stored already."""
    wanted = set(_list_searches_without_vector(contents))
    if not wanted:
        return {}
    stored = queries.get(sorted({query_id for query_id, _ in wanted}))
    found = {(record.key, record.document.get("text")): record.vector for record in stored}
    return {key: vector for key, vector in found.items() if key in wanted and vector is not None}


def _add_vector(
    content: Mapping[str, Any] | BadRow, vectors: Mapping[tuple[str, str], Any]
) -> Mapping[str, Any] | BadRow:
    for key in _list_searches_without_vector([content]):
        if key in vectors:
            return {**content, "query_vector": vectors[key]}  # type: ignore[dict-item]
    return content
