"""Relevance from the forms that callers write it in to the matrix that the solver reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import csr_matrix, issparse

from nudge_sync.base.arrays import Float64, Int64
from nudge_sync.errors import InputError

RelevantDocuments: TypeAlias = Sequence[Iterable[int] | Mapping[int, float]] | csr_matrix
"""For each query the relevant rows, or row -> grade; or a (q, n) sparse matrix of grades."""


def build_relevance_matrix(
    relevant: RelevantDocuments, query_count: int, document_count: int, name: str
) -> csr_matrix:
    """Return the grades as a matrix, (q, n): 1 where none was given.

    A row named twice for a query counts once. name: of the argument, for messages.
    Raises InputError for a row that does not exist, a grade that is not finite, or another number
    of entries than there are queries.
    """
    if issparse(relevant):
        grades = csr_matrix(relevant, dtype=np.float64)
        if grades.shape != (query_count, document_count):
            raise InputError(
                f"{name} is {grades.shape}; it has to be {(query_count, document_count)}"
            )
    else:
        grades = _build_from_lists(relevant, query_count, document_count, name)
    if not np.isfinite(grades.data).all():
        raise InputError(f"{name} holds a grade that is not a finite number; leave it out")
    return grades


def _build_from_lists(
    relevant: Any, query_count: int, document_count: int, name: str
) -> csr_matrix:
    entries = list(relevant)
    if len(entries) != query_count:
        raise InputError(
            f"{name} has {len(entries)} entries for {query_count} queries; "
            "give one a query, an empty list where nothing is relevant"
        )
    counts = np.fromiter(map(len, entries), np.int64, len(entries))
    rows = _read_row_numbers(entries, int(counts.sum()), name)
    query_rows = np.repeat(np.arange(query_count), counts)
    wrong = np.flatnonzero((rows < 0) | (rows >= document_count))
    if len(wrong):
        raise InputError(
            f"{name}[{query_rows[wrong[0]]}] names row {rows[wrong[0]]}, "
            f"but documents have rows 0 to {document_count - 1}"
        )
    return _drop_duplicates(
        query_rows, rows, _read_grades(entries, len(rows)), (query_count, document_count)
    )


def _read_row_numbers(entries: list[Any], total: int, name: str) -> Int64:
    try:
        rows = np.fromiter(chain.from_iterable(entries), np.float64, total)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} has to hold row numbers: {error}") from None
    if not (rows == np.floor(rows)).all():
        raise InputError(f"{name} has to hold whole row numbers")
    return rows.astype(np.int64)


def _read_grades(entries: list[Any], total: int) -> Float64:
    if not any(issubclass(kind, Mapping) for kind in set(map(type, entries))):
        return np.ones(total)
    grades = (
        entry.values() if isinstance(entry, Mapping) else [1.0] * len(entry) for entry in entries
    )
    return np.fromiter(chain.from_iterable(grades), np.float64, total)


def _drop_duplicates(
    query_rows: Int64,
    rows: Int64,
    grades: Float64,
    shape: tuple[int, int],
) -> csr_matrix:
    order = np.lexsort((rows, query_rows))
    query_rows, rows, grades = query_rows[order], rows[order], grades[order]
    is_first = np.ones(len(rows), np.bool_)
    is_first[1:] = (query_rows[1:] != query_rows[:-1]) | (rows[1:] != rows[:-1])
    query_rows, rows, grades = query_rows[is_first], rows[is_first], grades[is_first]
    start = np.concatenate([[0], np.cumsum(np.bincount(query_rows, minlength=shape[0]))])
    return csr_matrix((grades, rows, start), shape=shape)
