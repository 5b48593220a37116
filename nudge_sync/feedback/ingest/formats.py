"""Which source reads a file, and query vectors that are kept in a file of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.ingest.sources import Row, Source, json_lines, query_matrix
from nudge_sync.feedback.ingest.tables import csv_lines, parquet
from nudge_sync.feedback.schema.rows import BadRow, has_vector, lacks_vector

_READERS = {".csv": csv_lines, ".tsv": csv_lines, ".parquet": parquet}
_ABSENT = BadRow("unknown query", "no vector with this id or text")


def opened(path: Path) -> Source:
    """The rows of a file, read as its name ends: CSV, TSV, Parquet, or else JSON lines."""
    return _READERS.get(path.suffix.lower(), json_lines)(path)


def with_vectors(
    files: Sequence[Path], vectors: Path, ids: Path, *, others: bool = False
) -> Source:
    """The rows of all `files`; a search without a vector takes that of its id, or of its text.

    vectors: a `.npy` file (q, d); ids: query ids or query texts, one a line, in row order. A search
    that is not among them is a bad row, or with `others` left without a vector. Tables mostly hold
    events alone: a query that they name, and that none of the files logs as a search, becomes one
    with nothing but its vector, last; it replaces none that was logged before.
    Raises InputError for files that do not fit together.
    """
    sources = [(path.suffix.lower() in _READERS, opened(path)) for path in files]

    def rows() -> Iterator[Row]:
        names, matrix = query_matrix(vectors, ids)
        places = {name: at for at, name in enumerate(names)}
        asked: set[int] = set()
        logged: set[int] = set()
        for table, source in sources:
            for plain in source.rows():
                row = _with_vector(plain, places, matrix)
                yield plain if others and row.content is _ABSENT else row
                _note(row, places, logged, asked if table else None)
        for at in sorted(asked - logged):
            search = {"query_id": names[at], "query_vector": np.asarray(matrix[at])}
            yield Row(str(ids), at + 1, names[at], search, bare=True)

    return Source(rows, lambda: sum(source.size() for _, source in sources), (*files, vectors, ids))


def _note(row: Row, places: Mapping[str, int], logged: set[int], asked: set[int] | None) -> None:
    content = row.content
    at = None if isinstance(content, BadRow) else places.get(str(content.get("query_id")))
    if isinstance(content, BadRow) or at is None:
        return
    if has_vector(content):
        logged.add(at)
    elif asked is not None:
        asked.add(at)


def _with_vector(row: Row, places: Mapping[str, int], matrix: NDArray[Any]) -> Row:
    content = row.content
    if isinstance(content, BadRow) or not lacks_vector(content):
        return row
    named = (content.get(name) for name in ("query_id", "user_query", "text", "query"))
    found = (places.get(str(name)) for name in named if name is not None)
    at = next((place for place in found if place is not None), None)
    if at is None:
        return replace(row, content=_ABSENT)
    return replace(row, content={**content, "query_vector": np.asarray(matrix[at])})
