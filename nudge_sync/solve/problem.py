"""What the solver is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32
from nudge_sync.errors import InputError

Rows: TypeAlias = NDArray[np.int64]
Similarity: TypeAlias = Literal["cosine", "dot"]
Method: TypeAlias = Literal["auto", "nothing", "nudge-n", "nudge-m", "nudge-c"]

BUCKET_COUNT = 10
"""How many parts the queries are hashed into."""


@dataclass(frozen=True)
class JudgedQueries:
    """Queries, their judgements, and how well the points that never move answer them."""

    vectors: Float32
    """(q, d), unit rows."""
    relevance: csr_matrix
    """(q, n): weights or grades over the judged points; explicit entries <= 0 are negatives."""
    unjudged: Float32
    """(q, k): scores of the best points that are not among the n, best first, -inf where fewer.

    Cosine, or the dot product with the unit query; k at least the metric's cut-off.
    """

    def __len__(self) -> int:
        return len(self.vectors)

    def select(self, rows: NDArray[Any]) -> JudgedQueries:
        """Some of the queries: row numbers or a mask."""
        return JudgedQueries(self.vectors[rows], self.relevance[rows], self.unjudged[rows])


@dataclass(frozen=True)
class Choice:
    """Where the judged points go, and why."""

    vectors: Float32
    """(n, d): the new vectors; a row that does not move is bit for bit the input's."""
    moved: Rows
    """The rows that changed, ascending."""
    method: str
    """"nothing", "nudge-n", "nudge-m" or "nudge-c"."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """What JSON can hold: the angle, step, temperature, ... chosen."""
    scores: dict[str, float] = field(default_factory=dict)
    """The validation metric of each candidate; "nothing" is always one of them."""
    reasons: list[str] = field(default_factory=list)
    """Sentences: how many queries counted, and why this method and this angle."""


def check_queries(points: Float32, queries: JudgedQueries, depth: int) -> None:
    """Raise InputError where shapes disagree or a judgement or score is not finite."""
    count, dimension = points.shape
    if queries.vectors.shape[1:] != (dimension,):
        raise InputError(
            f"queries have {queries.vectors.shape[1]} dimensions and points {dimension}; "
            "embed both with the same model"
        )
    if queries.relevance.shape != (len(queries), count):
        raise InputError(
            f"relevance is {queries.relevance.shape}; "
            f"{len(queries)} queries and {count} points need {(len(queries), count)}"
        )
    if queries.unjudged.shape[0] != len(queries) or queries.unjudged.shape[1] < depth:
        raise InputError(
            f"unjudged is {queries.unjudged.shape}; {len(queries)} queries and a metric that "
            f"looks at {depth} places need at least {(len(queries), depth)}: pad with -inf"
        )
    if np.isnan(queries.unjudged).any() or not np.isfinite(queries.relevance.data).all():
        raise InputError("a judgement or a score is not a number; leave it out")


def check_finite(points: Float32, queries: Float32) -> None:
    """Raise InputError where a vector is not finite."""
    if not (np.isfinite(points).all() and np.isfinite(queries).all()):
        raise InputError("a vector holds NaN or infinity; leave such points and queries out")
