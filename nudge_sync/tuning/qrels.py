"""Relevance from the forms that callers write it in to the matrix that the solver reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import csr_matrix, issparse

from nudge_sync.base.arrays import Float64, Int64
from nudge_sync.errors import InputError
from nudge_sync.solve.relevance import merge_duplicates

RelevantDocuments: TypeAlias = Sequence[Iterable[int] | Mapping[int, float]] | csr_matrix
"""For each query the relevant rows, or row -> grade; or a (q, n) sparse matrix of grades."""
EXPECTED_FORM = (
    "give a list with one entry a query, in their order: rows of documents, such as [12, 7], or "
    "{row: grade}; or a sparse matrix of grades, (queries, documents)"
)
"""What messages about any other form end with."""


def build_relevance_matrix(
    relevant: RelevantDocuments, query_count: int, document_count: int, name: str
) -> csr_matrix:
    """Return the grades as a new matrix, (q, n), sorted within each query: 1 where none was given.

    A row that a list names twice counts once; entries that a sparse matrix has twice are summed, as
    everywhere in SciPy. name: of the argument, for messages.
    Raises InputError for a row that does not exist, a grade that is not finite, another number of
    entries than there are queries, and any other form.
    """
    if issparse(relevant):
        grades = merge_duplicates(relevant)
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
    entries = _list_entries(relevant, name)
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
            f"{name}[{query_rows[wrong[0]]}] names row {rows[wrong[0]]:.0f}, "
            f"but documents have rows 0 to {document_count - 1}"
        )
    grades = _drop_duplicates(
        query_rows,
        rows.astype(np.int64),
        _read_grades(entries, len(rows), name),
        (query_count, document_count),
    )
    if grades.nnz < len(rows) and (counts == document_count).all():
        # As many numbers as there are documents, and some twice: no rows, but a grade for each.
        raise InputError(f"{name} seems to hold a grade for each document; {EXPECTED_FORM}")
    return grades


def _list_entries(relevant: Any, name: str) -> list[Any]:
    """Return the entries of the queries; raise InputError where they are no lists or mappings."""
    if isinstance(relevant, (Mapping, str, bytes)) or not isinstance(relevant, Iterable):
        raise InputError(f"{name} is a {type(relevant).__name__}; {EXPECTED_FORM}")
    entries = list(relevant)
    for number, entry in enumerate(entries):
        if isinstance(entry, (str, bytes)) or not hasattr(entry, "__len__"):
            raise InputError(f"{name}[{number}] is {entry!r}; {EXPECTED_FORM}")
    return entries


def _read_row_numbers(entries: list[Any], total: int, name: str) -> Float64:
    message = f"{name} has to hold row numbers; {EXPECTED_FORM}"
    rows = _read_numbers(entries, total, (str, bytes, bool, np.bool_), message)
    if not (rows == np.floor(rows)).all():
        raise InputError(f"{name} has to hold whole row numbers; {EXPECTED_FORM}")
    return rows


def _read_grades(entries: list[Any], total: int, name: str) -> Float64:
    if not any(issubclass(kind, Mapping) for kind in set(map(type, entries))):
        return np.ones(total)
    grades = [
        list(entry.values()) if isinstance(entry, Mapping) else [1.0] * len(entry)
        for entry in entries
    ]
    message = f"{name} holds a grade that is not a number; {EXPECTED_FORM}"
    return _read_numbers(grades, total, (str, bytes), message)


def _read_numbers(parts: list[Any], total: int, refused: tuple[type, ...], message: str) -> Float64:
    """Return the numbers of all parts one after the other, (total,).

    Raises InputError with `message` for what is no number or of a refused type: NumPy reads text.
    """
    kinds = set(map(type, chain.from_iterable(parts)))
    try:
        numbers = np.fromiter(chain.from_iterable(parts), np.float64, total)
    except (TypeError, ValueError):
        raise InputError(message) from None
    if any(issubclass(kind, refused) for kind in kinds):
        raise InputError(message)
    return numbers


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
