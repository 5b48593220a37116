"""Relevance as callers write it, as the solver reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse

from nudge_sync.errors import InputError

Relevant: TypeAlias = Sequence[Iterable[int] | Mapping[int, float]] | csr_matrix
"""For each query the rows that are relevant, or row -> grade; or a (q, n) sparse matrix."""


def matrix(relevant: Relevant, queries: int, documents: int, name: str) -> csr_matrix:
    """Grades, (q, n), 1 where none was given; a row named twice for a query counts once.

    Raises InputError for a row that is not there, a grade that is not finite, or another number
    of entries than there are queries.
    """
    if issparse(relevant):
        found = csr_matrix(relevant, dtype=np.float64)
        if found.shape != (queries, documents):
            raise InputError(f"{name} is {found.shape}; it has to be {(queries, documents)}")
    else:
        found = _listed(relevant, queries, documents, name)
    if not np.isfinite(found.data).all():
        raise InputError(f"{name} holds a grade that is not a finite number; leave it out")
    return found


def _listed(relevant: Any, queries: int, documents: int, name: str) -> csr_matrix:
    entries = list(relevant)
    if len(entries) != queries:
        raise InputError(
            f"{name} has {len(entries)} entries for {queries} queries; "
            "give one a query, an empty list where nothing is relevant"
        )
    counts = np.fromiter(map(len, entries), np.int64, len(entries))
    rows = _integers(entries, int(counts.sum()), name)
    owner = np.repeat(np.arange(queries), counts)
    wrong = np.flatnonzero((rows < 0) | (rows >= documents))
    if len(wrong):
        raise InputError(
            f"{name}[{owner[wrong[0]]}] names row {rows[wrong[0]]}, "
            f"but documents have rows 0 to {documents - 1}"
        )
    return _once(owner, rows, _grades(entries, len(rows)), (queries, documents))


def _integers(entries: list[Any], total: int, name: str) -> NDArray[np.int64]:
    try:
        rows = np.fromiter(chain.from_iterable(entries), np.float64, total)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} has to hold row numbers: {error}") from None
    if not (rows == np.floor(rows)).all():
        raise InputError(f"{name} has to hold whole row numbers")
    return rows.astype(np.int64)


def _grades(entries: list[Any], total: int) -> NDArray[np.float64]:
    if not any(issubclass(kind, Mapping) for kind in set(map(type, entries))):
        return np.ones(total)
    each = (one.values() if isinstance(one, Mapping) else [1.0] * len(one) for one in entries)
    return np.fromiter(chain.from_iterable(each), np.float64, total)


def _once(
    owner: NDArray[np.int64],
    rows: NDArray[np.int64],
    grades: NDArray[np.float64],
    shape: tuple[int, int],
) -> csr_matrix:
    order = np.lexsort((rows, owner))
    owner, rows, grades = owner[order], rows[order], grades[order]
    fresh = np.ones(len(rows), np.bool_)
    fresh[1:] = (owner[1:] != owner[:-1]) | (rows[1:] != rows[:-1])
    owner, rows, grades = owner[fresh], rows[fresh], grades[fresh]
    start = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=shape[0]))])
    return csr_matrix((grades, rows, start), shape=shape)
