"""Why a document moved: which queries attracted it, how far it went, what it wins and loses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.solve.geometry import lengths, unit
from nudge_sync.solve.problem import Rows, Similarity
from nudge_sync.solve.topk import TopK


@dataclass(frozen=True)
class QueryInfluence:
    """One query that attracted the document."""

    query: int
    """Its number: the training queries in order, then the validation queries."""
    share: float
    """Its weight, as a share of the weights of all queries that attracted the document."""
    before: float
    """The document's score for the query, with the old vector."""
    after: float
    """The document's score for the query, with the new vector."""


@dataclass(frozen=True)
class RankChange:
    """One query for which the document entered or left the first ranks."""

    query: int
    """Its number: the training queries in order, then the validation queries."""
    relevant: bool
    """Whether the document answers the query."""
    before: int | None
    """The document's rank before, from 1; None where it was beyond the ranks looked at."""
    after: int | None
    """The document's rank after, from 1; None where it is beyond the ranks looked at."""


@dataclass(frozen=True)
class Explanation:
    """What became of one document."""

    row: int
    """Of the document."""
    moved: bool
    angle: float
    """Radians between the old and the new vector."""
    pulls: list[QueryInfluence]
    """The queries that attracted the document, the heaviest first."""
    wins: list[RankChange]
    """The queries whose first ranks it entered."""
    loses: list[RankChange]
    """The queries whose first ranks it left."""


def explain_document(
    row: int,
    old: Float32,
    new: Float32,
    *,
    queries: Float32,
    relevance: csr_matrix,
    attraction: csr_matrix,
    rankings: tuple[TopK, TopK],
    similarity: Similarity,
) -> Explanation:
    """Return what became of document `row`, whose vector was `old` and is `new`: (d,) each.

    queries: (q, d), unit rows. relevance: (q, n). attraction: (q, n), how strongly each query
    attracted each document. rankings: the best documents of each query, before and after.
    """
    vectors = np.stack([old, new])
    directions = unit(vectors)
    scores = queries @ (directions if similarity == "cosine" else vectors).T.astype(np.float32)
    cosine = float(np.clip(directions[0] @ directions[1], -1, 1))
    tangent = lengths((directions[1] - cosine * directions[0])[None])[0]
    before, after = (_find_ranks(ranking, row) for ranking in rankings)
    relevant = relevance[:, [row]].toarray().ravel() > 0
    rank_changes = [
        RankChange(
            int(query), bool(relevant[query]), _to_rank(before[query]), _to_rank(after[query])
        )
        for query in np.flatnonzero((before > 0) != (after > 0))
    ]
    return Explanation(
        row,
        bool((old != new).any()),
        float(np.arctan2(tangent, cosine)),
        _list_influences(attraction[:, [row]].toarray().ravel(), scores),
        [change for change in rank_changes if change.before is None],
        [change for change in rank_changes if change.after is None],
    )


def _list_influences(weights: Float64, scores: Float32) -> list[QueryInfluence]:
    total = weights.sum()
    order = [query for query in np.argsort(-weights, kind="stable") if weights[query] > 0]
    return [
        QueryInfluence(
            int(query),
            float(weights[query] / total),
            float(scores[query, 0]),
            float(scores[query, 1]),
        )
        for query in order
    ]


def _find_ranks(ranking: TopK, row: int) -> Rows:
    """Return the rank of `row` for each query, from 1; 0 where it is not among the best."""
    hit = ranking.rows == row
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, 0)


def _to_rank(rank: np.int64) -> int | None:
    return int(rank) or None
