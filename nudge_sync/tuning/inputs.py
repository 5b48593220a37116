"""Arrays as callers hand them in, checked and brought into the form that the solver takes."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from nudge_sync.base.arrays import Float32, Float64, Int64
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.threads import map_in_threads
from nudge_sync.errors import InputError
from nudge_sync.solve.geometry import MIN_LENGTH, lengths, to_float32, unit
from nudge_sync.solve.problem import Rows, Similarity
from nudge_sync.solve.topk import find_top_k
from nudge_sync.tuning.qrels import build_relevance_matrix

ROW_ARRAY_NDIM = 2
"""The number of axes of an array of rows."""
MAX_LENGTH = 1e37
"""Longer vectors are refused: in float32 their products would become infinite."""
_MIN_LARGEST_WEIGHT, _MAX_LARGEST_WEIGHT = 1e-9, 1e9
Candidates: TypeAlias = Int64 | tuple[Int64, NDArray[np.floating]]
"""Rows of the best documents of each query, (q, k), -1 for none; or those rows and their scores."""


@dataclass(frozen=True)
class QuerySet:
    """Training or validation queries as a caller hands them in, not checked yet."""

    queries: Any
    """(q, d), any length; None for no queries."""
    relevant: Any
    """As `RelevantDocuments`, one entry a query; None for no queries."""
    weights: Any = None
    """How much each query, (q,), or judgement (as `RelevantDocuments`) counts in training; None
    for 1 each."""


def check_documents(documents: Any) -> NDArray[np.floating]:
    """Return the documents as an array, (n, d), not copied; raise InputError for anything else."""
    rows = documents if isinstance(documents, np.ndarray) else _read_array(documents, "documents")
    if rows.ndim != ROW_ARRAY_NDIM or rows.shape[1] == 0 or rows.dtype.kind not in "fiu":
        raise InputError(
            f"documents have to be numbers, (n, d); these are {rows.dtype} {rows.shape}"
        )
    return rows


def _read_array(rows: Any, name: str) -> NDArray[Any]:
    """Return rows of numbers as an array, of any type; raise InputError where they are none."""
    try:
        array = np.asarray(rows)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} have to be numbers, (rows, dimensions): {error}") from None
    if array.dtype.kind in "cOSU":
        raise InputError(
            f"{name} have to be numbers, (rows, dimensions); these are {array.dtype} {array.shape}"
        )
    return array


def scale_queries(queries: Any, documents: NDArray[Any], name: str) -> Float32:
    """Return the queries as unit rows, (q, d).

    name: of the argument, for messages. Raises InputError for what is no array of numbers, and for
    a row that is zero, not finite, or not of the documents' dimension.
    """
    if queries is None:
        return np.empty((0, documents.shape[1]), np.float32)
    rows = to_float32(_read_array(queries, name))
    if rows.size == 0:
        return np.empty((0, documents.shape[1]), np.float32)
    if rows.ndim != ROW_ARRAY_NDIM or rows.shape[1] != documents.shape[1]:
        raise InputError(
            f"{name} are {rows.shape} and documents {documents.shape}; "
            "both have to come from one model, (rows, dimensions)"
        )
    units = np.empty_like(rows)

    def scale(part: slice) -> NDArray[np.bool_]:
        length = lengths(rows[part])
        usable = (length > MIN_LENGTH) & (length < MAX_LENGTH)
        units[part] = rows[part] / np.where(usable, length, 1.0).astype(np.float32)[:, None]
        return usable

    usable = np.concatenate(map_in_threads(scale, list_chunks(len(rows))))
    if not usable.all():
        raise InputError(
            f"{name}[{np.flatnonzero(~usable)[0]}] is zero or not finite; "
            "leave it out together with its judgements"
        )
    return units


def read_judged_rows(documents: NDArray[Any], judged: Rows) -> Float32:
    """Return the judged documents in float32; raise InputError where one is not finite."""
    rows = np.empty((len(judged), documents.shape[1]), np.float32)

    def fetch(part: slice) -> Rows:
        rows[part] = to_float32(documents[judged[part]])
        return judged[part][~np.isfinite(rows[part]).all(axis=1)]

    for broken in map_in_threads(fetch, list_chunks(len(judged))):
        if len(broken):
            raise InputError(
                f"documents[{broken[0]}] is judged and holds NaN or infinity; "
                "embed it again, or leave out its judgements"
            )
    return rows


def select_judged_columns(relevance: csr_matrix, judged: Rows) -> csr_matrix:
    """Return the columns of the judged documents alone: (q, judged).

    judged: ascending; has to hold every column with an entry.
    """
    columns = np.searchsorted(judged, relevance.indices)
    return csr_matrix(
        (relevance.data, columns, relevance.indptr), shape=(relevance.shape[0], len(judged))
    )


def score_unjudged(
    documents: NDArray[Any],
    queries: Float32,
    judged: Rows,
    depth: int,
    candidates: Candidates | None,
    needs_scores: NDArray[np.bool_],
    similarity: Similarity,
    fixed_documents: NDArray[Any] | None = None,
) -> Float32:
    """Return the `depth` best scores of each query among documents that nobody judged: (q, depth).

    needs_scores: (q,), the queries to score; the others get -inf.
    fixed_documents: more documents that nobody judged.
    """
    scores = np.full((len(queries), depth), -np.inf, np.float32)
    if candidates is not None:
        candidate_rows, candidate_scores = _read_candidates(
            documents, queries, candidates, similarity
        )
        candidate_scores = np.where(
            np.isin(candidate_rows, judged) | (candidate_rows < 0), -np.inf, candidate_scores
        )
        ranked = -np.sort(-candidate_scores, axis=1)[:, :depth]
        scores[len(queries) - len(candidate_rows) :, : ranked.shape[1]] = ranked
    elif len(judged) < len(documents) and needs_scores.any():
        top_k = find_top_k(
            queries[needs_scores], documents, depth, skip=judged, similarity=similarity
        )
        scores[needs_scores] = top_k.scores
    if fixed_documents is not None and len(fixed_documents) and needs_scores.any():
        more = find_top_k(
            queries[needs_scores], fixed_documents, depth, similarity=similarity
        ).scores
        both = np.concatenate([scores[needs_scores], more], axis=1)
        scores[needs_scores] = -np.sort(-both, axis=1)[:, :depth]
    return scores


def scale_candidate_scores(
    candidates: Candidates, train: QuerySet, validation: QuerySet, similarity: Similarity
) -> Candidates:
    """Return candidates with the scores that queries of length one would give them.

    A dot product grows with the length of the query that a database was asked for.
    """
    if similarity != "dot" or not isinstance(candidates, tuple):
        return candidates
    rows, scores = candidates
    stacked = [
        lengths(np.atleast_2d(to_float32(_read_array(queries, "queries"))))
        for queries in (train.queries, validation.queries)
        if queries is not None and np.size(queries)
    ]
    length = np.concatenate([np.zeros(0), *stacked])
    count = len(np.asarray(scores))
    if np.ndim(scores) != ROW_ARRAY_NDIM or count > len(length):
        # Refused by whoever reads them.
        return candidates
    return rows, np.asarray(scores, np.float32) / length[len(length) - count :, None]


def _read_candidates(
    documents: NDArray[Any], queries: Float32, candidates: Candidates, similarity: Similarity
) -> tuple[Rows, NDArray[np.floating]]:
    rows, given_scores = candidates if isinstance(candidates, tuple) else (candidates, None)
    rows = np.asarray(rows)
    if (
        rows.ndim != ROW_ARRAY_NDIM
        or len(rows) > len(queries)
        or (rows.size and rows.dtype.kind not in "iu")
        or (rows.size and rows.max() >= len(documents))
    ):
        raise InputError(
            "candidates have to be rows of documents, (validation queries, k), -1 for none"
        )
    if given_scores is not None and np.shape(given_scores) != rows.shape:
        raise InputError(f"candidates: {rows.shape} rows but {np.shape(given_scores)} scores")
    if given_scores is not None:
        return rows, np.asarray(given_scores, np.float32)
    if not rows.size:
        return np.empty(rows.shape, np.int64), np.empty(rows.shape, np.float32)
    computed = np.empty(rows.shape, np.float32)
    for number, query in enumerate(queries[len(queries) - len(rows) :]):
        vectors = np.asarray(documents[np.maximum(rows[number], 0)], np.float32)
        computed[number] = (unit(vectors) if similarity == "cosine" else vectors) @ query
    return rows, computed


def build_weights(
    train: QuerySet,
    validation: QuerySet,
    is_train: NDArray[np.bool_],
    relevance: csr_matrix,
    judged: Rows,
    document_count: int,
) -> csr_matrix | NDArray[Any] | None:
    """Return the weights of all queries, training queries first, as the solver takes them.

    is_train: (q,), the mask of the training queries. relevance: (q, judged).
    The weights of the validation queries count once they train too: 1 each where there are none.
    """
    if train.weights is None:
        return None
    train_count, validation_count = int(is_train.sum()), int((~is_train).sum())
    if _is_one_per_query(train.weights) and validation.weights is None:
        weights = np.asarray(train.weights, np.float64)
        if len(weights) != train_count:
            raise InputError(f"train_weights are {len(weights)} for {train_count} training queries")
        _refuse_extreme_weights(weights, "train_weights")
        return np.append(weights, np.ones(validation_count))
    validation_weights = (
        (relevance[train_count:] > 0).astype(np.float64)
        if validation.weights is None
        else _build_weight_matrix(
            validation.weights, validation_count, judged, document_count, "validation_weights"
        )
    )
    train_weights = _build_weight_matrix(
        train.weights, train_count, judged, document_count, "train_weights"
    )
    return csr_matrix(vstack([train_weights, validation_weights]))


def _is_one_per_query(weights: Any) -> bool:
    if isinstance(weights, np.ndarray):
        return weights.ndim == 1 and weights.dtype.kind in "fiub"
    return isinstance(weights, (list, tuple)) and all(isinstance(one, Real) for one in weights)


def _refuse_extreme_weights(weights: Float64, name: str) -> None:
    """Raise InputError where the largest weight is beyond what float32 can be solved with."""
    largest = float(weights.max(initial=0.0))
    if largest and not _MIN_LARGEST_WEIGHT <= largest <= _MAX_LARGEST_WEIGHT:
        raise InputError(
            f"the largest of {name} is {largest:g}; bring them between "
            f"{_MIN_LARGEST_WEIGHT:g} and {_MAX_LARGEST_WEIGHT:g}: a weight of 1 is one answer"
        )


def _build_weight_matrix(
    weights: Any, query_count: int, judged: Rows, document_count: int, name: str
) -> csr_matrix:
    matrix = build_relevance_matrix(weights, query_count, document_count, name)
    _refuse_extreme_weights(matrix.data, name)
    if not np.isin(matrix.indices, judged).all():
        raise InputError(f"{name} name a row that is judged by no query")
    return select_judged_columns(matrix, judged)
