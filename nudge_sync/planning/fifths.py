"""The queries in five fifths by the hash of their vectors: one is held out, the others choose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float64, Int64
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.planning.held_out import HELD_OUT_SHARE, hash_queries
from nudge_sync.planning.judgement_matrices import JudgementMatrices
from nudge_sync.solve.problem import BUCKET_COUNT, JudgedQueries

FIFTH_COUNT = 5
"""How many fifths there are; the first is the one that every cycle holds out."""
MAX_HELD_OUT_QUERIES = 20_000
"""Most queries of a fifth that the gate ranks points for: by then the interval of a mean gain is
some 0.3 points to either side. Ranking more would take time with queries and points, that is, with
their product."""


@dataclass(frozen=True)
class FifthSplit:
    """The queries of which one fifth is held out, while the others train and choose."""

    train_queries: JudgedQueries
    weights: csr_matrix | None
    """(q, n): how strongly each judgement of the training queries attracts; None for 1 each."""
    folds: Int64
    """(q,): the tenth, 0 to 9, that each training query always falls into."""
    held_out_queries: JudgedQueries
    held_out_weights: csr_matrix | None
    """(q, n): how surely each judgement of the held-out queries would attract; None for 1 each."""
    bystanders: NDArray[np.bool_]
    """(q,): the held-out queries that share no relevant point with any training query."""


def hold_out_fifth(
    queries: JudgedQueries, matrices: JudgementMatrices, query_hashes: Float64, fifth: int
) -> FifthSplit:
    """Hold out the queries whose hash falls into one fifth, 0 to 4.

    query_hashes: (q,), from 0 to 1. Fifth 0 is the one that every cycle holds out.
    Where they are more than `MAX_HELD_OUT_QUERIES`, those of the lowest hash are held out, which
    mostly stay the same ones from cycle to cycle; the others do nothing.
    """
    # Turned, so that the fifth to be held out begins at 0 whichever it is.
    positions = (query_hashes - fifth * HELD_OUT_SHARE) % 1.0
    is_train = positions >= HELD_OUT_SHARE
    is_held_out = _keep_lowest(positions, ~is_train)
    train_queries, held_out_queries = queries.select(is_train), queries.select(is_held_out)
    return FifthSplit(
        train_queries,
        matrices.select(is_train).train_weights,
        _assign_folds(positions[is_train]),
        held_out_queries,
        matrices.select(is_held_out).train_weights,
        find_bystanders(train_queries.relevance, held_out_queries.relevance),
    )


def hold_out_in_turn(
    queries: JudgedQueries, matrices: JudgementMatrices, query_hashes: Float64, min_queries: int
) -> list[FifthSplit]:
    """Hold out each fifth in turn where the first has too few queries; else the first alone.

    min_queries: how many different ones are enough (`gate.min_queries`).
    """
    first = hold_out_fifth(queries, matrices, query_hashes, 0)
    if len(np.unique(query_hashes[query_hashes < HELD_OUT_SHARE])) >= min_queries:
        return [first]
    others = range(1, FIFTH_COUNT)
    return [first, *(hold_out_fifth(queries, matrices, query_hashes, fifth) for fifth in others)]


def count_evidence(judgements: Judgements, min_queries: int) -> tuple[int, int]:
    """Return how many different queries with an answer the gate goes by, and of how many fifths.

    Those of the first fifth where they are at least `min_queries`, else all.
    """
    gains = judgements.expected_gains
    is_answered = np.zeros(len(judgements.query_ids), np.bool_)
    is_answered[gains.query_rows[gains.gains > 0]] = True
    answered = np.unique(hash_queries(judgements.query_vectors[is_answered]))
    held_out_count = int((answered < HELD_OUT_SHARE).sum())
    if held_out_count >= min_queries:
        return min(held_out_count, MAX_HELD_OUT_QUERIES), 1
    return len(answered), FIFTH_COUNT


def _keep_lowest(positions: Float64, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask, (q,), with the lowest `MAX_HELD_OUT_QUERIES` positions of it at most."""
    rows = np.flatnonzero(mask)
    kept = np.zeros_like(mask)
    kept[rows[np.argsort(positions[rows], kind="stable")[:MAX_HELD_OUT_QUERIES]]] = True
    return kept


def _assign_folds(positions: Float64) -> Int64:
    """Return the tenth that each position falls into, of those that are not held out."""
    shares = (positions - HELD_OUT_SHARE) / (1 - HELD_OUT_SHARE)
    return np.minimum((shares * BUCKET_COUNT).astype(np.int64), BUCKET_COUNT - 1)


def find_bystanders(
    train_relevance: csr_matrix, held_out_relevance: csr_matrix
) -> NDArray[np.bool_]:
    """Return which held-out queries share no relevant point with any training query: (q,).

    train_relevance, held_out_relevance: (t, n) and (q, n); above 0 a point is relevant. That a
    point does not answer a training query teaches nothing of where it does.
    """
    train_points = np.unique(train_relevance.indices[train_relevance.data > 0])
    shared = held_out_relevance[:, train_points]
    shared.data = (shared.data > 0).astype(np.float64)
    is_bystander: NDArray[np.bool_] = np.asarray(shared.sum(axis=1)).ravel() == 0
    return is_bystander
