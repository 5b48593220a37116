"""Query vectors kept in a file of their own, and their join with rows that lack them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.npy import memory_map_npy
from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.formats import is_table, open_source
from nudge_sync.feedback.ingest.sources import (
    Source,
    SourceRow,
    build_vector_only_search,
)
from nudge_sync.feedback.ingest.text_files import count_lines, refuse_pipe
from nudge_sync.feedback.schema.rows import BadRow, has_vector, is_search_without_vector

_MATRIX_DIMENSIONS = 2
_UNKNOWN_QUERY = BadRow("unknown query", "no vector with this id or text")


@dataclass(frozen=True, slots=True)
class QueryVectorFiles:
    """Two files that hold the vectors of queries and say which query each belongs to."""

    vectors: Path
    """A `.npy` file with a matrix (q, d)."""
    ids: Path
    """A text file with the id or the text of one query a line, in row order."""

    def load(self) -> tuple[list[str], NDArray[Any]]:
        """Return the q ids, and the vectors (q, d) as a memory map.

        Raises InputError if a file cannot be read or the two do not fit together.
        """
        refuse_pipe(self.vectors)
        refuse_pipe(self.ids)
        try:
            matrix = memory_map_npy(self.vectors)
            ids = self.ids.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"query vectors or ids cannot be read: {error}") from None
        if matrix.ndim != _MATRIX_DIMENSIONS:
            raise InputError(f"{self.vectors}: a matrix of numbers is expected, one row a query")
        if len(ids) != len(matrix):
            raise InputError(
                f"{self.ids} names {len(ids)} queries, {self.vectors} holds {len(matrix)}"
            )
        return ids, matrix

    def open_searches(self) -> Source:
        """Return a search for each query, with nothing but its id and its vector.

        Reading raises InputError as `load` does.
        """

        def read_rows() -> Iterator[SourceRow]:
            ids, matrix = self.load()
            for index, query_id in enumerate(ids):
                yield build_vector_only_search(str(self.ids), index, query_id, matrix[index])

        return Source(read_rows, lambda: count_lines(self.ids), (self.vectors, self.ids))


def join_query_vectors(
    files: Sequence[Path], query_files: QueryVectorFiles, *, keep_unmatched: bool = False
) -> Source:
    """Return the rows of all `files`, where a search without a vector takes one of `query_files`.

    It takes the vector of its id, or else of its text. A search that has neither there is a bad
    row, or with `keep_unmatched` stays without a vector. Tables mostly hold events alone: a query
    that a table names, and that no file logs as a search, becomes a search with nothing but its
    vector, after all other rows; it replaces none that was logged before.
    Reading raises InputError as `QueryVectorFiles.load` does.
    """
    sources = [(is_table(path), open_source(path)) for path in files]

    def read_rows() -> Iterator[SourceRow]:
        join = _Join(*query_files.load())
        for from_table, source in sources:
            for row in source.read_rows():
                joined_row = join.add_vector(row)
                join.track_query(joined_row, from_table=from_table)
                is_unmatched = joined_row.content is _UNKNOWN_QUERY
                yield row if keep_unmatched and is_unmatched else joined_row
        yield from join.build_missing_searches(str(query_files.ids))

    return Source(
        read_rows,
        lambda: sum(source.estimate_rows() for _, source in sources),
        (*files, query_files.vectors, query_files.ids),
    )


@dataclass(slots=True)
class _Join:
    """The vectors by id or text, and which of them the rows so far named."""

    query_ids: list[str]
    matrix: NDArray[Any]
    index_by_key: Mapping[str, int] = field(init=False)
    logged: set[int] = field(default_factory=set)
    """Rows of `matrix` whose query some row logs as a search."""
    named_by_tables: set[int] = field(default_factory=set)
    """Rows of `matrix` whose query an event in a table names."""

    def __post_init__(self) -> None:
        self.index_by_key = {key: index for index, key in enumerate(self.query_ids)}

    def add_vector(self, row: SourceRow) -> SourceRow:
        content = row.content
        if isinstance(content, BadRow) or not is_search_without_vector(content):
            return row
        keys = (content.get(name) for name in ("query_id", "user_query", "text", "query"))
        indices = (self.index_by_key.get(str(key)) for key in keys if key is not None)
        index = next((candidate for candidate in indices if candidate is not None), None)
        if index is None:
            return replace(row, content=_UNKNOWN_QUERY)
        return replace(row, content={**content, "query_vector": np.asarray(self.matrix[index])})

    def track_query(self, row: SourceRow, *, from_table: bool) -> None:
        if isinstance(row.content, BadRow):
            return
        index = self.index_by_key.get(str(row.content.get("query_id")))
        if index is None:
            return
        if has_vector(row.content):
            self.logged.add(index)
        elif from_table:
            self.named_by_tables.add(index)

    def build_missing_searches(self, source: str) -> Iterator[SourceRow]:
        """Yield searches for the queries that only tables name."""
        for index in sorted(self.named_by_tables - self.logged):
            query_id, vector = self.query_ids[index], self.matrix[index]
            yield build_vector_only_search(source, index, query_id, vector)
