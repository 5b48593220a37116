"""Why a document moved: who pulled it, how far it went, and which queries it wins and loses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32
from nudge_sync.solve.geometry import lengths, unit
from nudge_sync.solve.problem import Similarity
from nudge_sync.solve.topk import TopK


@dataclass(frozen=True)
class QueryInfluence:
    """One query that pulled the document."""

    query: int
    """Its number: the training queries in order, then the validation queries."""
    share: float
    """Of the whole pull, as weights."""
    before: float
    """The document's score for it before and after."""
    after: float


@dataclass(frozen=True)
class RankChange:
    """One query for which the document entered or left the first places."""

    query: int
    relevant: bool
    before: int | None
    """The document's rank, from 1; None where it is beyond the places looked at."""
    after: int | None


@dataclass(frozen=True)
class Explanation:
    """What became of one document."""

    row: int
    moved: bool
    angle: float
    """Radians between the old and the new vector."""
    pulls: list[QueryInfluence]
    """Strongest first."""
    wins: list[RankChange]
    loses: list[RankChange]


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
    """What became of document `row`, whose vector was `old` and is `new`: (d,) each."""
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


def _list_influences(weights: NDArray[np.float64], scores: Float32) -> list[QueryInfluence]:
    total = weights.sum()
    order = [query for query in np.argsort(-weights, kind="stable") if weights[query] > 0]
    return [
        QueryInfluence(
            int(one), float(weights[one] / total), float(scores[one, 0]), float(scores[one, 1])
        )
        for one in order
    ]


def _find_ranks(ranking: TopK, row: int) -> NDArray[np.int64]:
    """The rank of `row` for each query, from 1; 0 where it is not among those found."""
    hit = ranking.rows == row
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, 0)


def _to_rank(rank: np.int64) -> int | None:
    return int(rank) or None
