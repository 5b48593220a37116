"""Sources of feedback rows, and the one that reads labelled answers from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32
from nudge_sync.connector import PointId
from nudge_sync.feedback.schema.values import BadRow


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of a source: its fields, by the names of `SPELLINGS`, or why it has none."""

    source: str
    """The file, or what else the row is from."""
    line: int
    """Number of the row in the source."""
    raw: str
    """The row as it was read, for the rejects file."""
    content: Mapping[str, Any] | BadRow
    is_incidental: bool = False
    """Whether this is a search with nothing but its id, vector and text, as a list of queries has:
    it replaces none that was logged, and may come again."""
    embedded_by: str = ""
    """What made the vector of the row's text; "" where the row came with its vector."""


@dataclass(frozen=True, slots=True)
class Source:
    """Rows of feedback that can be read more than once, unless `files` has a pipe."""

    read_rows: Callable[[], Iterator[SourceRow]]
    """Starts from the first row each time it is called."""
    estimate_rows: Callable[[], int]
    """Returns about how many rows there are, for a progress bar; 0 if unknown."""
    files: tuple[Path, ...] = ()
    """The files that are read."""


def build_judgement_source(
    query_ids: Sequence[str],
    query_vectors: Float32,
    judgements: Mapping[str, Mapping[PointId, float]],
) -> Source:
    """Return a source of judgements in memory and of the queries that they are about.

    query_vectors: (q, d), in the order of `query_ids`; judgements: query id -> point id -> grade.
    """

    def read_rows() -> Iterator[SourceRow]:
        for index, query_id in enumerate(query_ids):
            yield build_vector_only_search("queries", index, query_id, query_vectors[index])
        line = 0
        for query_id, grades in judgements.items():
            for point, grade in grades.items():
                line += 1
                content = build_judgement(query_id, point, grade)
                yield SourceRow("relevant", line, f"{query_id}\t{point}\t{grade}", content)

    return Source(read_rows, lambda: len(query_ids) + sum(map(len, judgements.values())))


def build_vector_only_search(
    source: str, index: int, query_id: str, vector: NDArray[Any], text: str = ""
) -> SourceRow:
    """Return a search with nothing but its id, its vector (d,) and perhaps its text.

    index: where the query stands in `source`, from 0.
    """
    content = {"type": "search", "query_id": query_id, "query_vector": np.asarray(vector)}
    if text:
        content["text"] = text
    return SourceRow(source, index + 1, query_id, content, is_incidental=True)


def build_judgement(query_id: str, point: PointId, grade: float) -> Mapping[str, Any]:
    """Return the fields of an event that judges `point` for a query."""
    return {"query_id": query_id, "action": "relevant", "point": point, "grade": grade}
