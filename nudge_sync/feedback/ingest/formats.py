"""Which source reads a file, and query vectors that are kept in a file of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.ingest.sources import (
    Source,
    SourceRow,
    load_query_vectors,
    open_json_lines,
)
from nudge_sync.feedback.ingest.tables import open_csv, open_parquet
from nudge_sync.feedback.schema.rows import BadRow, has_vector, is_search_without_vector

_TABLE_OPENERS = {".csv": open_csv, ".tsv": open_csv, ".parquet": open_parquet}
_UNKNOWN_QUERY = BadRow("unknown query", "no vector with this id or text")


def open_source(path: Path) -> Source:
    """The rows of a file, read as its name ends: CSV, TSV, Parquet, or else JSON lines."""
    return _TABLE_OPENERS.get(path.suffix.lower(), open_json_lines)(path)


def join_query_vectors(
    files: Sequence[Path], vectors: Path, ids: Path, *, keep_unmatched: bool = False
) -> Source:
    """The rows of all `files`; a search without a vector takes that of its id, or of its text.

    vectors: a `.npy` file (q, d); ids: query ids or query texts, one a line, in row order. A search
    that is not among them is a bad row, or with `others` left without a vector. Tables mostly hold
    events alone: a query that they name, and that none of the files logs as a search, becomes one
    with nothing but its vector, last; it replaces none that was logged before.
    Raises InputError for files that do not fit together.
    """
    sources = [(path.suffix.lower() in _TABLE_OPENERS, open_source(path)) for path in files]

    def rows() -> Iterator[SourceRow]:
        query_ids, matrix = load_query_vectors(vectors, ids)
        row_by_key = {key: vector_row for vector_row, key in enumerate(query_ids)}
        event_rows: set[int] = set()
        search_rows: set[int] = set()
        for is_table, source in sources:
            for source_row in source.read_rows():
                joined_row = _add_vector(source_row, row_by_key, matrix)
                yield (
                    source_row
                    if keep_unmatched and joined_row.content is _UNKNOWN_QUERY
                    else joined_row
                )
                _track_queries(
                    joined_row, row_by_key, search_rows, event_rows if is_table else None
                )
        for vector_row in sorted(event_rows - search_rows):
            search = {
                "query_id": query_ids[vector_row],
                "query_vector": np.asarray(matrix[vector_row]),
            }
            yield SourceRow(
                str(ids), vector_row + 1, query_ids[vector_row], search, is_vector_only=True
            )

    return Source(
        rows, lambda: sum(source.estimate_rows() for _, source in sources), (*files, vectors, ids)
    )


def _track_queries(
    row: SourceRow,
    row_by_key: Mapping[str, int],
    search_rows: set[int],
    event_rows: set[int] | None,
) -> None:
    content = row.content
    vector_row = (
        None if isinstance(content, BadRow) else row_by_key.get(str(content.get("query_id")))
    )
    if isinstance(content, BadRow) or vector_row is None:
        return
    if has_vector(content):
        search_rows.add(vector_row)
    elif event_rows is not None:
        event_rows.add(vector_row)


def _add_vector(row: SourceRow, row_by_key: Mapping[str, int], matrix: NDArray[Any]) -> SourceRow:
    content = row.content
    if isinstance(content, BadRow) or not is_search_without_vector(content):
        return row
    keys = (content.get(name) for name in ("query_id", "user_query", "text", "query"))
    rows = (row_by_key.get(str(name)) for name in keys if name is not None)
    vector_row = next((candidate for candidate in rows if candidate is not None), None)
    if vector_row is None:
        return replace(row, content=_UNKNOWN_QUERY)
    return replace(row, content={**content, "query_vector": np.asarray(matrix[vector_row])})
