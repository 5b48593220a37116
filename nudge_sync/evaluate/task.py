"""What is evaluated: documents, queries, and who answers which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32
from nudge_sync.errors import InputError
from nudge_sync.solve.geometry import lengths

RowNumbers: TypeAlias = NDArray[np.intp]
Grades: TypeAlias = Mapping[int, float]
"""Document row -> grade; a grade above zero is an answer, its height the gain."""
Similarity: TypeAlias = Literal["dot", "cosine"]
SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)

_ROWS_PER_BLOCK = 65_536
_UNIT_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class EvaluationTask:
    """A retrieval task as arrays; every query has an answer."""

    name: str
    documents: Float32
    """(n, d), may be memory-mapped."""
    queries: Float32
    """(q, d)."""
    judgements: Sequence[Grades]
    """One entry a query."""
    document_ids: Sequence[str]
    query_ids: Sequence[str]
    similarity: Similarity = "dot"
    notes: tuple[str, ...] = ()
    """What a reader of the figures has to know about the input."""

    def select_judgements(self, rows: RowNumbers) -> list[Grades]:
        """The judgements of the queries `rows`, in their order."""
        return [self.judgements[row] for row in rows]

    def count_judgements(self) -> int:
        """How many judgements there are."""
        return sum(len(grades) for grades in self.judgements)

    def count_judged_documents(self) -> int:
        """How many documents at least one query judges."""
        return len(set().union(*self.judgements)) if self.judgements else 0


def drop_unanswered_queries(task: EvaluationTask) -> EvaluationTask:
    """The task without the queries that nothing answers; a note says how many there were.

    Raises InputError where none is left.
    """
    rows = [
        row
        for row, grades in enumerate(task.judgements)
        if any(grade > 0 for grade in grades.values())
    ]
    if not rows:
        raise InputError(f"{task.name}: no query has an answer; evaluation needs judged queries")
    left_out = len(task.judgements) - len(rows)
    if not left_out:
        return task
    return replace(
        task,
        queries=task.queries[rows],
        judgements=[task.judgements[row] for row in rows],
        query_ids=[task.query_ids[row] for row in rows],
        notes=(*task.notes, f"{left_out} queries without an answer were left out"),
    )


def check_rows(vectors: Float32, where: str) -> Float32:
    """The same vectors, when they are rows of finite numbers, none of them zero.

    Raises InputError that names the first row which is not.
    """
    if vectors.ndim != 2 or 0 in vectors.shape:  # noqa: PLR2004
        raise InputError(f"{where}: expected rows of vectors (n, d), found shape {vectors.shape}")
    for start, block in iterate_blocks(vectors):
        wrong = np.flatnonzero(~np.isfinite(block).all(axis=1) | ~block.any(axis=1))
        if len(wrong):
            row = start + int(wrong[0])
            raise InputError(f"{where}: row {row} is zero or not finite; leave it out")
    return vectors


def scale_to_unit(vectors: Float32) -> Float32:
    """The rows at length one; the same array where they are already."""
    if all(
        (np.abs(lengths(block) - 1) < _UNIT_TOLERANCE).all() for _, block in iterate_blocks(vectors)
    ):
        return vectors
    scaled = np.empty(vectors.shape, dtype=np.float32)
    for start, block in iterate_blocks(vectors):
        scaled[start : start + len(block)] = block / lengths(block)[:, None]
    return scaled


def iterate_blocks(vectors: Float32, size: int = _ROWS_PER_BLOCK) -> Iterator[tuple[int, Float32]]:
    """Runs of rows with the number of their first row, each small enough to hold."""
    for start in range(0, len(vectors), size):
        yield start, np.asarray(vectors[start : start + size])
