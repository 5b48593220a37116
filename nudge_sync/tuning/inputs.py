"""Arrays as callers hand them in, checked and made ready for the solver."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from nudge_sync.base.threads import map_in_threads
from nudge_sync.errors import InputError
from nudge_sync.solve.line_search.paths import chunks
from nudge_sync.solve.nudge_n import TINY, lengths, single, unit
from nudge_sync.solve.problem import Float32, Rows, Similarity
from nudge_sync.solve.topk import best
from nudge_sync.tuning.qrels import matrix

MATRIX = 2
"""Dimensions of an array of rows."""
LONGEST = 1e37
"""Lengths beyond this are as good as infinite in float32."""
Candidates: TypeAlias = NDArray[np.int64] | tuple[NDArray[np.int64], NDArray[np.floating]]
"""Rows of the best documents of each query, (q, k), -1 for none; or those rows and their scores."""


def document_rows(documents: Any) -> NDArray[np.floating]:
    """The documents as an array, (n, d), not copied; raises InputError where they are not that."""
    rows = documents if isinstance(documents, np.ndarray) else np.asarray(documents)
    if rows.ndim != MATRIX or rows.shape[1] == 0 or rows.dtype.kind not in "fiu":
        raise InputError(
            f"documents have to be numbers, (n, d); these are {rows.dtype} {rows.shape}"
        )
    return rows


def unit_queries(queries: Any, documents: NDArray[Any], name: str) -> Float32:
    """Unit rows; raises InputError for a row without a direction."""
    if queries is None:
        return np.empty((0, documents.shape[1]), np.float32)
    rows = single(queries)
    if rows.size == 0:
        return np.empty((0, documents.shape[1]), np.float32)
    if rows.ndim != MATRIX or rows.shape[1] != documents.shape[1]:
        raise InputError(
            f"{name} are {rows.shape} and documents {documents.shape}; "
            "both have to come from one model, (rows, dimensions)"
        )
    units = np.empty_like(rows)

    def scale(part: slice) -> NDArray[np.bool_]:
        length = lengths(rows[part])
        usable = (length > TINY) & (length < LONGEST)
        units[part] = rows[part] / np.where(usable, length, 1.0).astype(np.float32)[:, None]
        return usable

    usable = np.concatenate(map_in_threads(scale, list(chunks(len(rows)))))
    if not usable.all():
        raise InputError(
            f"{name}[{np.flatnonzero(~usable)[0]}] is zero or not finite; "
            "leave it out together with its judgements"
        )
    return units


def judged_rows(documents: NDArray[Any], judged: Rows) -> Float32:
    """The judged documents in float32; raises InputError where one is not finite."""
    rows = np.empty((len(judged), documents.shape[1]), np.float32)

    def fetch(part: slice) -> Rows:
        rows[part] = single(documents[judged[part]])
        return judged[part][~np.isfinite(rows[part]).all(axis=1)]

    for broken in map_in_threads(fetch, list(chunks(len(judged)))):
        if len(broken):
            raise InputError(
                f"documents[{broken[0]}] is judged and holds NaN or infinity; "
                "embed it again, or leave out its judgements"
            )
    return rows


def narrow(relevance: csr_matrix, judged: Rows) -> csr_matrix:
    """The same judgements over judged rows alone."""
    columns = np.searchsorted(judged, relevance.indices)
    return csr_matrix(
        (relevance.data, columns, relevance.indptr), shape=(relevance.shape[0], len(judged))
    )


def unjudged_scores(
    documents: NDArray[Any],
    queries: Float32,
    judged: Rows,
    depth: int,
    candidates: Candidates | None,
    asked: NDArray[np.bool_],
    similarity: Similarity,
    others: NDArray[Any] | None = None,
) -> Float32:
    """The `depth` best scores of each query among documents that nobody judged: (q, depth).

    asked: (q,), the queries that matter; -inf for the rest.  others: more documents of that kind.
    """
    scores = np.full((len(queries), depth), -np.inf, np.float32)
    if candidates is not None:
        rows, known = _handed_in(documents, queries, candidates, similarity)
        known = np.where(np.isin(rows, judged) | (rows < 0), -np.inf, known)
        ranked = -np.sort(-known, axis=1)[:, :depth]
        scores[len(queries) - len(rows) :, : ranked.shape[1]] = ranked
    elif len(judged) < len(documents) and asked.any():
        found = best(queries[asked], documents, depth, skip=judged, similarity=similarity)
        scores[asked] = found.scores
    if others is not None and len(others) and asked.any():
        more = best(queries[asked], others, depth, similarity=similarity).scores
        both = np.concatenate([scores[asked], more], axis=1)
        scores[asked] = -np.sort(-both, axis=1)[:, :depth]
    return scores


def _handed_in(
    documents: NDArray[Any], queries: Float32, candidates: Candidates, similarity: Similarity
) -> tuple[Rows, NDArray[np.floating]]:
    rows, known = candidates if isinstance(candidates, tuple) else (candidates, None)
    rows = np.asarray(rows)
    if (
        rows.ndim != MATRIX
        or len(rows) > len(queries)
        or (rows.size and rows.max() >= len(documents))
    ):
        raise InputError(
            "candidates have to be rows of documents, (validation queries, k), -1 for none"
        )
    if known is not None and np.shape(known) != rows.shape:
        raise InputError(f"candidates: {rows.shape} rows but {np.shape(known)} scores")
    if known is not None:
        return rows, np.asarray(known, np.float32)
    computed = np.empty(rows.shape, np.float32)
    for number, query in enumerate(queries[len(queries) - len(rows) :]):
        vectors = np.asarray(documents[np.maximum(rows[number], 0)], np.float32)
        computed[number] = (unit(vectors) if similarity == "cosine" else vectors) @ query
    return rows, computed


def pull_weights(
    weights: Any, relevance: csr_matrix, judged: Rows, count: int, documents: int
) -> csr_matrix | NDArray[Any] | None:
    """Weights of the first `count` queries as the solver takes them, 1 for the others.

    weights: None, one a query, or rows or row -> weight as judgements are given.
    """
    if weights is None:
        return None
    if isinstance(weights, np.ndarray) and weights.ndim == 1 and weights.dtype.kind in "fiub":
        if len(weights) != count:
            raise InputError(f"train_weights are {len(weights)} for {count} training queries")
        return np.append(weights.astype(np.float64), np.ones(relevance.shape[0] - count))
    known = narrow(*_known(matrix(weights, count, documents, "train_weights"), judged))
    return csr_matrix(vstack([known, (relevance[count:] > 0).astype(np.float64)]))


def _known(weights: csr_matrix, judged: Rows) -> tuple[csr_matrix, Rows]:
    if not np.isin(weights.indices, judged).all():
        raise InputError("train_weights name a row that is judged by no query")
    return weights, judged
