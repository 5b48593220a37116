"""Query vectors kept in a file of their own, and their join with rows that lack them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.npy import memory_map_npy
from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.sources import (
    Source,
    SourceRow,
    build_vector_only_search,
)
from nudge_sync.feedback.ingest.text_files import refuse_pipe
from nudge_sync.feedback.schema.rows import (
    get_query_id,
    get_query_text,
    has_event_fields,
    has_vector,
    is_search_without_vector,
)
from nudge_sync.feedback.schema.values import BadRow

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


def join_query_vectors(
    sources: Sequence[Source],
    query_files: QueryVectorFiles,
    *,
    keep_unmatched: bool = False,
    refuse_unknown_queries: bool = False,
) -> Source:
    """Return the rows of all `sources`, where a search without a vector takes one of `query_files`.

    It takes the vector of its id, or else of its text. A search that has neither there is a bad
    row, or with `keep_unmatched` stays without a vector. The row of an event makes a search too, if
    it says what was shown, or has the query's text and no row before it told of that query. Any
    other query that an event names, and that no row makes a search, becomes one with its vector
    and text alone, after all other rows; it replaces none that was logged before.
    refuse_unknown_queries: make an event whose query is not in `query_files` a bad row. Reading
    raises InputError as `QueryVectorFiles.load` does.
    """

    def read_rows() -> Iterator[SourceRow]:
        join = _Join(*query_files.load(), keep_unmatched, refuse_unknown_queries)
        for source in sources:
            yield from map(join.add_vector, source.read_rows())
        yield from join.build_missing_searches(str(query_files.ids))

    return Source(
        read_rows,
        lambda: sum(source.estimate_rows() for source in sources),
        (
            *chain.from_iterable(source.files for source in sources),
            query_files.vectors,
            query_files.ids,
        ),
    )


@dataclass(slots=True)
class _Join:
    """The vectors by id or text, and which of them the rows so far named."""

    query_ids: list[str]
    matrix: NDArray[Any]
    keep_unmatched: bool
    refuse_unknown_queries: bool
    index_by_key: Mapping[str, int] = field(init=False)
    logged: set[str] = field(default_factory=set)
    """Ids of the queries that some row makes a search."""
    named: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Id of a query that events name -> row of `matrix`, and the text of the query."""

    def __post_init__(self) -> None:
        self.index_by_key = {key: index for index, key in enumerate(self.query_ids) if key}

    def add_vector(self, row: SourceRow) -> SourceRow:
        """Return a row with the vector of its query, if it makes a search and has none."""
        content = row.content
        if isinstance(content, BadRow):
            return row
        try:
            query_id, text = get_query_id(content), get_query_text(content)
        except BadRow:
            # The import names it.
            return row
        index = self.index_by_key.get(query_id)
        index = self.index_by_key.get(text) if index is None else index
        if has_vector(content):
            self.logged.add(query_id)
        elif index is None:
            return replace(row, content=_UNKNOWN_QUERY) if self._is_refused(content) else row
        elif self._makes_search(content, query_id, text):
            self.logged.add(query_id)
            vector = np.asarray(self.matrix[index])
            return replace(row, content={**content, "query_vector": vector})
        else:
            self.named.setdefault(query_id, (index, text))
        return row

    def _is_refused(self, content: Mapping[str, Any]) -> bool:
        """Return whether a row is to be refused if there is no vector for its query."""
        if is_search_without_vector(content):
            return not self.keep_unmatched
        return self.refuse_unknown_queries

    def _makes_search(self, content: Mapping[str, Any], query_id: str, text: str) -> bool:
        """Return whether a row logs its search, or is an event that tells of it something new."""
        if content.get("type") == "event":
            return False
        is_new = bool(text) and query_id not in self.logged
        return is_new or bool(content.get("shown")) or not has_event_fields(content)

    def build_missing_searches(self, source: str) -> Iterator[SourceRow]:
        """Yield searches for the queries that events alone name."""
        for query_id, (index, text) in sorted(self.named.items(), key=lambda item: item[1][0]):
            if query_id not in self.logged:
                vector = self.matrix[index]
                yield build_vector_only_search(source, index, query_id, vector, text)
