"""The solver's input and output, and the checks that its input has to pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from numbers import Real
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32
from nudge_sync.errors import InputError

Rows: TypeAlias = NDArray[np.int64]
Similarity: TypeAlias = Literal["cosine", "dot"]
Method: TypeAlias = Literal["auto", "nothing", "nudge-n", "nudge-h", "nudge-m", "nudge-c"]

MAX_GIVEN_ANGLE = float(np.pi / 2)
"""Largest angle, in radians, that may be given."""
BUCKET_COUNT = 10
"""Number of buckets that queries are hashed into, to be dealt out to training and validation."""


@dataclass(frozen=True)
class JudgedQueries:
    """Queries, their judgements, and the scores of the points that never move."""

    vectors: Float32
    """(q, d), unit rows."""
    relevance: csr_matrix
    """(q, n): grades of the judged points; an explicit entry of 0 or below rejects its point."""
    unjudged: Float32
    """(q, k): scores of the best points outside the n, best first, -inf where there are fewer.

    Cosine similarity, or the dot product with the unit query; k at least the metric's depth.
    """
    excluded: csr_matrix | None = None
    """(q, n): points that leave the ranking of a query before it is scored, as nonzero entries."""

    def __len__(self) -> int:
        return len(self.vectors)

    def select(self, rows: NDArray[Any]) -> JudgedQueries:
        """Return some of the queries.  rows: row numbers or a mask."""
        excluded = None if self.excluded is None else self.excluded[rows]
        return JudgedQueries(
            self.vectors[rows], self.relevance[rows], self.unjudged[rows], excluded
        )


@dataclass(frozen=True)
class GainEstimate:
    """A mean gain over the points as they are, with its interval; all of it within -1 to 1."""

    mean: float
    low: float
    """Lower end of Student's interval, 95 % unless another was asked for."""
    high: float
    """Upper end of it."""
    queries: int
    """Number of validation queries it was measured on."""

    @property
    def is_known(self) -> bool:
        """Whether the interval says anything: that of a single observation is all of -1 to 1."""
        return self.low > -1 or self.high < 1


@dataclass(frozen=True)
class ColdReport:
    """What the chosen method does to warm answers and to cold ones, by cross-validation.

    An answer is warm where its document has training judgements, and cold where they were hidden.
    A query is scored on either alone, its other answers being taken out of the ranking.
    """

    cold_share: float
    """The weight of cold answers in the choice, 0 to 1; warm ones have the rest."""
    warm: GainEstimate
    cold: GainEstimate
    """Negative where documents without feedback are pushed out of result lists."""


@dataclass(frozen=True)
class Choice:
    """The method chosen, where it moves the judged points, and why."""

    vectors: Float32
    """(n, d): the new vectors; a row that does not move is the input's, bit for bit."""
    moved: Rows
    """The rows that changed, ascending."""
    method: str
    """"nothing", "nudge-n", "nudge-h", "nudge-m" or "nudge-c"."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """The chosen settings (angle, step, sharpness, ...), as values that JSON can hold."""
    scores: dict[str, float] = field(default_factory=dict)
    """Mean validation metric of each method tried, "nothing" included; empty where none was."""
    reasons: list[str] = field(default_factory=list)
    """Sentences for people: how many queries counted, and why this method and these settings."""
    cold: ColdReport | None = None
    """Present where cold answers had a say in the choice."""


def check_options(method: Method, similarity: Similarity, max_angle: float) -> None:
    """Raise InputError unless the method and the similarity exist and the angle is one.

    max_angle: radians, 0 to pi/2.
    """
    _check_name("method", method, get_args(Method))
    _check_name("similarity", similarity, get_args(Similarity))
    if not (isinstance(max_angle, Real) and 0 <= max_angle <= MAX_GIVEN_ANGLE):
        raise InputError(f"max_angle is {max_angle!r}; it is an angle in radians, 0 to pi/2")


def _check_name(argument: str, name: str, known: tuple[str, ...]) -> None:
    if name in known:
        return
    near = get_close_matches(str(name).lower(), known, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{argument} is {name!r}{meant}; there are: {', '.join(known)}")


def check_judged_queries(points: Float32, queries: JudgedQueries, depth: int) -> None:
    """Raise InputError unless shapes agree and judgements and scores are numbers."""
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
    """Raise InputError unless every component is finite."""
    if not (np.isfinite(points).all() and np.isfinite(queries).all()):
        raise InputError("a vector holds NaN or infinity; leave such points and queries out")
