"""Arrays as callers hand them in, checked and made ready for the solver."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from nudge_sync.base.arrays import Float32
from nudge_sync.base.threads import map_in_threads
from nudge_sync.errors import InputError
from nudge_sync.solve.geometry import MIN_LENGTH, lengths, to_float32, unit
from nudge_sync.solve.line_search.paths import chunks
from nudge_sync.solve.problem import Rows, Similarity
from nudge_sync.solve.topk import find_top_k
from nudge_sync.tuning.qrels import build_relevance_matrix

ROW_ARRAY_NDIM = 2
"""Dimensions of an array of rows."""
MAX_LENGTH = 1e37
"""Lengths beyond this are as good as infinite in float32."""
Candidates: TypeAlias = NDArray[np.int64] | tuple[NDArray[np.int64], NDArray[np.floating]]
"""Rows of the best documents of each query, (q, k), -1 for none; or those rows and their scores."""


def check_documents(documents: Any) -> NDArray[np.floating]:
    """The documents as an array, (n, d), not copied; raises InputError where they are not that."""
    rows = documents if isinstance(documents, np.ndarray) else np.asarray(documents)
    if rows.ndim != ROW_ARRAY_NDIM or rows.shape[1] == 0 or rows.dtype.kind not in "fiu":
        raise InputError(
            f"documents have to be numbers, (n, d); these are {rows.dtype} {rows.shape}"
        )
    return rows


def scale_queries(queries: Any, documents: NDArray[Any], name: str) -> Float32:
    """Unit rows; raises InputError for a row without a direction."""
    if queries is None:
        return np.empty((0, documents.shape[1]), np.float32)
    rows = to_float32(queries)
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

    usable = np.concatenate(map_in_threads(scale, list(chunks(len(rows)))))
    if not usable.all():
        raise InputError(
            f"{name}[{np.flatnonzero(~usable)[0]}] is zero or not finite; "
            "leave it out together with its judgements"
        )
    return units


def read_judged_rows(documents: NDArray[Any], judged: Rows) -> Float32:
    """The judged documents in float32; raises InputError where one is not finite."""
    rows = np.empty((len(judged), documents.shape[1]), np.float32)

    def fetch(part: slice) -> Rows:
        rows[part] = to_float32(documents[judged[part]])
        return judged[part][~np.isfinite(rows[part]).all(axis=1)]

    for broken in map_in_threads(fetch, list(chunks(len(judged)))):
        if len(broken):
            raise InputError(
                f"documents[{broken[0]}] is judged and holds NaN or infinity; "
                "embed it again, or leave out its judgements"
            )
    return rows


def select_judged_columns(relevance: csr_matrix, judged: Rows) -> csr_matrix:
    """The same judgements over judged rows alone."""
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
    """The `depth` best scores of each query among documents that nobody judged: (q, depth).

    asked: (q,), the queries that matter; -inf for the rest.  others: more documents of that kind.
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


def _read_candidates(
    documents: NDArray[Any], queries: Float32, candidates: Candidates, similarity: Similarity
) -> tuple[Rows, NDArray[np.floating]]:
    rows, given_scores = candidates if isinstance(candidates, tuple) else (candidates, None)
    rows = np.asarray(rows)
    if (
        rows.ndim != ROW_ARRAY_NDIM
        or len(rows) > len(queries)
        or (rows.size and rows.max() >= len(documents))
    ):
        raise InputError(
            "candidates have to be rows of documents, (validation queries, k), -1 for none"
        )
    if given_scores is not None and np.shape(given_scores) != rows.shape:
        raise InputError(f"candidates: {rows.shape} rows but {np.shape(given_scores)} scores")
    if given_scores is not None:
        return rows, np.asarray(given_scores, np.float32)
    computed = np.empty(rows.shape, np.float32)
    for number, query in enumerate(queries[len(queries) - len(rows) :]):
        vectors = np.asarray(documents[np.maximum(rows[number], 0)], np.float32)
        computed[number] = (unit(vectors) if similarity == "cosine" else vectors) @ query
    return rows, computed


def build_train_weights(
    weights: Any, relevance: csr_matrix, judged: Rows, train_count: int, document_count: int
) -> csr_matrix | NDArray[Any] | None:
    """Weights of the first `count` queries as the solver takes them, 1 for the others.

    weights: None, one a query, or rows or row -> weight as judgements are given.
    """
    if weights is None:
        return None
    if isinstance(weights, np.ndarray) and weights.ndim == 1 and weights.dtype.kind in "fiub":
        if len(weights) != train_count:
            raise InputError(f"train_weights are {len(weights)} for {train_count} training queries")
        return np.append(weights.astype(np.float64), np.ones(relevance.shape[0] - train_count))
    judgement_weights = select_judged_columns(
        *_check_weights(
            build_relevance_matrix(weights, train_count, document_count, "train_weights"), judged
        )
    )
    return csr_matrix(vstack([judgement_weights, (relevance[train_count:] > 0).astype(np.float64)]))


def _check_weights(weights: csr_matrix, judged: Rows) -> tuple[csr_matrix, Rows]:
    if not np.isin(weights.indices, judged).all():
        raise InputError("train_weights name a row that is judged by no query")
    return weights, judged
