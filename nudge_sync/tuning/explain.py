"""Why a document moved: who pulled it, how far it went, and which queries it wins and loses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.solve.nudge_n import lengths, unit
from nudge_sync.solve.problem import Float32, Similarity
from nudge_sync.solve.topk import Best


@dataclass(frozen=True)
class Pull:
    """One query that pulled the document."""

    query: int
    """Its number: the training queries in order, then the validation queries."""
    share: float
    """Of the whole pull, as weights."""
    before: float
    """The document's score for it before and after."""
    after: float


@dataclass(frozen=True)
class Shift:
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
    pulls: list[Pull]
    """Strongest first."""
    wins: list[Shift]
    loses: list[Shift]


def explain(
    row: int,
    old: Float32,
    new: Float32,
    *,
    queries: Float32,
    relevance: csr_matrix,
    pull: csr_matrix,
    bars: tuple[Best, Best],
    similarity: Similarity,
) -> Explanation:
    """What became of document `row`, whose vector was `old` and is `new`: (d,) each."""
    ends = np.stack([old, new])
    directions = unit(ends)
    scores = queries @ (directions if similarity == "cosine" else ends).T.astype(np.float32)
    cosine = float(np.clip(directions[0] @ directions[1], -1, 1))
    across = lengths((directions[1] - cosine * directions[0])[None])[0]
    before, after = (_ranks(bar, row) for bar in bars)
    relevant = relevance[:, [row]].toarray().ravel() > 0
    shifts = [
        Shift(int(query), bool(relevant[query]), _rank(before[query]), _rank(after[query]))
        for query in np.flatnonzero((before > 0) != (after > 0))
    ]
    return Explanation(
        row,
        bool((old != new).any()),
        float(np.arctan2(across, cosine)),
        _pulls(pull[:, [row]].toarray().ravel(), scores),
        [one for one in shifts if one.before is None],
        [one for one in shifts if one.after is None],
    )


def _pulls(weights: NDArray[np.float64], scores: Float32) -> list[Pull]:
    total = weights.sum()
    order = [query for query in np.argsort(-weights, kind="stable") if weights[query] > 0]
    return [
        Pull(int(one), float(weights[one] / total), float(scores[one, 0]), float(scores[one, 1]))
        for one in order
    ]


def _ranks(found: Best, row: int) -> NDArray[np.int64]:
    """The rank of `row` for each query, from 1; 0 where it is not among those found."""
    hit = found.rows == row
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, 0)


def _rank(rank: np.int64) -> int | None:
    return int(rank) or None
