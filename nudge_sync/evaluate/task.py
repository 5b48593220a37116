"""What is evaluated: documents, queries, and which documents answer which query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32, Float64, Int64
from nudge_sync.errors import InputError
from nudge_sync.planning.held_out import number_questions
from nudge_sync.solve.geometry import lengths
from nudge_sync.solve.problem import Similarity
from nudge_sync.solve.task import build_attraction
from nudge_sync.tuning.qrels import build_relevance_matrix

RowNumbers: TypeAlias = NDArray[np.intp]
Grades: TypeAlias = Mapping[int, float]
"""Document row -> grade. A document with a grade above zero is an answer, and the grade its gain;
one with a grade of zero or below does not answer the query."""
SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)

_ROWS_PER_BLOCK = 65_536
_UNIT_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class EvaluationTask:
    """A retrieval task as arrays, in which every query has an answer."""

    name: str
    documents: Float32
    """(n, d), may be memory-mapped."""
    queries: Float32
    """(q, d)."""
    judgements: Sequence[Grades]
    """One entry a query: what rankings are scored by."""
    document_ids: Sequence[str]
    query_ids: Sequence[str]
    similarity: Similarity = "dot"
    notes: tuple[str, ...] = ()
    """What a reader of the figures has to know about the input."""
    weights: Sequence[Grades] | None = None
    """One entry a query: how strongly each answer attracts in training, above 0; an answer that
    is missing there attracts nothing. None: every answer attracts with 1."""
    cold_share: float | None = None
    """How much documents without feedback count in the choice of methods and settings, 0 to 1; None
    where they do not."""
    query_times: Float64 | None = None
    """(q,): when each query was asked, in seconds since 1970; 0 where nobody knows."""
    live_documents: Float32 | None = None
    """(n, d): `documents` as they are searched, where some have moved; None where none has."""

    def number_questions(self) -> Int64:
        """Return one number for each query, (q,): the same for queries that ask the same.

        As the gate does it, so that a question that many people asked is one observation.
        """
        return number_questions(scale_to_unit(self.queries))

    def select_judgements(self, rows: RowNumbers) -> list[Grades]:
        """Return the judgements of the queries `rows`, in their order."""
        return [self.judgements[row] for row in rows]

    def select_weights(self, rows: RowNumbers) -> list[Grades] | None:
        """Return the weights of the queries `rows`, in their order; None where there are none."""
        return None if self.weights is None else [self.weights[row] for row in rows]

    def build_matrices(self, rows: RowNumbers) -> tuple[csr_matrix, csr_matrix]:
        """Return the grades of the queries `rows`, and how strongly answers attract: (rows, n)."""
        shape, weights = (len(rows), len(self.documents)), self.select_weights(rows)
        relevance = build_relevance_matrix(self.select_judgements(rows), *shape, "judgements")
        if weights is None:
            return relevance, build_attraction(relevance, None)
        return relevance, build_attraction(
            relevance, build_relevance_matrix(weights, *shape, "weights")
        )

    def list_attracted(self, rows: RowNumbers) -> list[list[int]]:
        """Return the documents that training moves towards each of the queries `rows`."""
        return [
            _list_answers(self.judgements[row] if self.weights is None else self.weights[row])
            for row in rows
        ]

    def list_answers(self, rows: RowNumbers) -> list[list[int]]:
        """Return the documents that answer each of the queries `rows`; never none.

        Where weights say which answers are sure enough to attract, the others count only for a
        query that has no sure one.
        """
        return [
            attracted or _list_answers(self.judgements[row])
            for row, attracted in zip(rows, self.list_attracted(rows), strict=True)
        ]

    def count_judgements(self) -> int:
        """Return how many judgements there are."""
        return sum(len(grades) for grades in self.judgements)

    def count_judged_documents(self) -> int:
        """Return how many documents have a judgement of at least one query."""
        return len(set().union(*self.judgements)) if self.judgements else 0


def _list_answers(grades: Grades) -> list[int]:
    return [row for row, grade in grades.items() if grade > 0]


def drop_unanswered_queries(task: EvaluationTask) -> EvaluationTask:
    """Return the task without the queries that nothing answers; a note says how many there were.

    Raises InputError where no query is left.
    """
    rows = np.array(
        [row for row, grades in enumerate(task.judgements) if _list_answers(grades)], np.intp
    )
    if not len(rows):
        raise InputError(f"{task.name}: no query has an answer; evaluation needs judged queries")
    unanswered_count = len(task.judgements) - len(rows)
    if not unanswered_count:
        return task
    return replace(
        task,
        queries=task.queries[rows],
        judgements=task.select_judgements(rows),
        weights=task.select_weights(rows),
        query_ids=[task.query_ids[row] for row in rows],
        query_times=None if task.query_times is None else task.query_times[rows],
        notes=(*task.notes, f"{unanswered_count} queries without an answer were left out"),
    )


def check_rows(vectors: Float32, location: str) -> Float32:
    """Return `vectors` if they are rows of finite numbers, none of them all zero.

    Raises InputError that names `location` and the first row that is not.
    """
    if vectors.ndim != 2 or 0 in vectors.shape:  # noqa: PLR2004
        raise InputError(
            f"{location}: expected rows of vectors (n, d), found shape {vectors.shape}"
        )
    for start, block in iterate_blocks(vectors):
        wrong = np.flatnonzero(~np.isfinite(block).all(axis=1) | ~block.any(axis=1))
        if len(wrong):
            row = start + int(wrong[0])
            raise InputError(f"{location}: row {row} is zero or not finite; leave it out")
    return vectors


def scale_to_unit(vectors: Float32) -> Float32:
    """Return the rows at length one; the array itself where they are already."""
    if all(
        (np.abs(lengths(block) - 1) < _UNIT_TOLERANCE).all() for _, block in iterate_blocks(vectors)
    ):
        return vectors
    scaled = np.empty(vectors.shape, dtype=np.float32)
    for start, block in iterate_blocks(vectors):
        scaled[start : start + len(block)] = block / lengths(block)[:, None]
    return scaled


def iterate_blocks(vectors: Float32, size: int = _ROWS_PER_BLOCK) -> Iterator[tuple[int, Float32]]:
    """Yield blocks of at most `size` rows, read into memory, each with its first row's number."""
    for start in range(0, len(vectors), size):
        yield start, np.asarray(vectors[start : start + size])
