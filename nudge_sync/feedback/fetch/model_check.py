"""Whether searches were embedded by the model of the collection: the commonest silent mistake.

Each search that showed a point, or on which somebody acted on one, gives a pair of a query and a
point. Where both are of one model, a query is nearer to its own point than to those of other
queries; in any other space, also one of the same dimension, it is so about as often as not. The
share of comparisons that a query's own point wins is the area under the ROC curve.

Where no search names a point, queries and points are compared as two clouds: how much nearer
queries are to their nearest points than in a space that has nothing to do with theirs, measured by
how near points are to each other. Both clouds are centred, since many models put everything into
one cone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.text.percent import format_exact_percent, format_percent
from nudge_sync.connector import Collection, PointId
from nudge_sync.errors import ModelMismatch
from nudge_sync.feedback.schema.point_ids import PointIdResolver
from nudge_sync.feedback.schema.rows import get_query_id, has_vector
from nudge_sync.feedback.schema.values import BadRow, parse_point_id, parse_point_ids, parse_vector
from nudge_sync.solve.geometry import unit

MIN_PAIRS = 100
"""Fewest queries with a point that anything is concluded from."""
MAX_PAIRS = 500
"""Queries with a point that are looked at."""
MIN_POINTS = 100
"""Fewest points that queries without a point are compared with."""
MAX_POINTS = 1000
"""Points that they are compared with."""
MIN_NEARNESS = 0.4
"""Least nearness of queries without a point, where both are of one model; it was at least 0.6 with
the right queries and at most 0.35 in other spaces. `benchmarks/model_check.py` measures it."""
MIN_SHARE = 0.62
"""Least share of comparisons that a query's own point wins where both are of one model. From 100
pairs on it was at least 0.66 with the right vectors of the collections that it was measured on, and
at most 0.60 in other spaces."""


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """What the pairs of queries and points say."""

    pairs: int
    share: float | None
    """Share of comparisons that a query's own point wins, 0 to 1; None below `MIN_PAIRS`."""
    nearness: float | None = None
    """How near queries are to points, about 0 to 1; None where the share says more, or there are
    too few queries or points."""

    @property
    def is_match(self) -> bool | None:
        """Whether both are of one model; None if that is not known."""
        if self.share is not None:
            return self.share >= MIN_SHARE
        return None if self.nearness is None else self.nearness >= MIN_NEARNESS

    def summary(self) -> dict[str, Any]:
        """Return the `model` field of `feedback pull --json`."""
        return {
            "matches": self.is_match,
            "pairs": self.pairs,
            "share": self.share,
            "nearness": self.nearness,
        }


def compute_own_share(queries: NDArray[Any], points: NDArray[Any]) -> float:
    """Return how often a query is nearer to its own point than to another's, by the cosine.

    queries, points: (n, d), row by row a pair, n above 1; a tie counts half.
    """
    similarities = unit(queries) @ unit(points).T
    own = np.diag(similarities)[:, None]
    count = len(similarities)
    wins = float((similarities < own).sum()) + 0.5 * float((similarities == own).sum() - count)
    return wins / (count * (count - 1))


def compute_nearness(queries: NDArray[Any], points: NDArray[Any]) -> float:
    """Return how near queries are to their nearest points: 0 as in any space, 1 as points are.

    queries: (q, d); points: (n, d), n above 1. With s the mean cosine to the nearest point, of the
    queries, of the points among each other, and of the queries in another space, all of them
    centred, it is (s_queries - s_other) / (s_points - s_other). The other space has the queries'
    components in another order and with other signs.
    """
    queries, points = _centre(queries), _centre(points)
    generator = np.random.default_rng(0)
    order = generator.permutation(queries.shape[1])
    signs = generator.choice([-1.0, 1.0], size=queries.shape[1])
    among_points = points @ points.T
    np.fill_diagonal(among_points, -1.0)
    among = float(among_points.max(axis=1).mean())
    other = float(((queries[:, order] * signs) @ points.T).max(axis=1).mean())
    own = float((queries @ points.T).max(axis=1).mean())
    return (own - other) / max(among - other, 1e-9)


def _centre(vectors: NDArray[Any]) -> NDArray[np.float64]:
    directions = unit(vectors)
    return unit(directions - directions.mean(axis=0))


@dataclass
class ModelChecker:
    """Collects pairs from the rows of a source, until there are enough."""

    collection: Collection
    source_name: str
    _vectors: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Query id -> vector, for searches that have no point yet."""
    _queries: list[NDArray[Any]] = field(default_factory=list)
    _points: list[NDArray[Any]] = field(default_factory=list)
    _distinct: dict[bytes, NDArray[Any]] = field(default_factory=dict)
    """Vectors of searches, with a point or without; equal ones once."""
    _sample: NDArray[Any] | None = None
    """(n, d): points of the collection."""
    _dimension: int = field(init=False)
    _resolver: PointIdResolver = field(init=False)

    def __post_init__(self) -> None:
        self._dimension = self.collection.describe().dimension
        self._resolver = PointIdResolver(self.collection)

    def add_rows(self, contents: Sequence[Mapping[str, Any] | BadRow]) -> None:
        """Look at searches and events, those on searches of earlier rows too."""
        if len(self._queries) >= MAX_PAIRS:
            return
        rows = [row for row in contents if not isinstance(row, BadRow)]
        self._collect_vectors(rows)
        pairs = {query_id: ids for query_id, ids in self._list_pairs(rows) if ids}
        self._resolver.look_up(ids[0] for ids in pairs.values())
        known = {query_id: self._resolver.get(ids[0]) for query_id, ids in pairs.items()}
        found = {query_id: point for query_id, point in known.items() if point is not None}
        points = self.collection.read(list(dict.fromkeys(found.values())))
        vectors = dict(zip(points.ids, points.vectors, strict=True))
        for query_id, point in found.items():
            if point in vectors and len(self._queries) < MAX_PAIRS:
                self._queries.append(self._vectors.pop(query_id))
                self._points.append(vectors[point])

    def judge(self) -> ModelCheck:
        """Return what all rows so far say."""
        count = len(self._queries)
        if count < MIN_PAIRS:
            return ModelCheck(count, None, self._measure_nearness())
        share = compute_own_share(np.stack(self._queries), np.stack(self._points))
        return ModelCheck(count, round(share, 4))

    def _measure_nearness(self) -> float | None:
        """Return the nearness of the queries so far, or None where there are too few."""
        if len(self._distinct) < MIN_PAIRS:
            return None
        if self._sample is None:
            points = next(iter(self.collection.scan(MAX_POINTS)), None)
            vectors = [] if points is None else [row for row in points.vectors if row.any()]
            self._sample = np.array(vectors[:MAX_POINTS]).reshape(-1, self._dimension)
        if len(np.unique(self._sample, axis=0)) < MIN_POINTS:
            return None
        return round(compute_nearness(np.stack(list(self._distinct.values())), self._sample), 4)

    def refuse_mismatch(self) -> None:
        """Raise ModelMismatch if the rows so far are clearly of another model."""
        check = self.judge()
        remedy = (
            "Nothing of these rows was stored. Give the embed function of the collection's model, "
            "or set check_model = false if this is meant"
        )
        if check.is_match is False and check.share is None:
            raise ModelMismatch(
                f'the searches of source "{self.source_name}" are of another embedding model than '
                f"the collection, or about something else: {len(self._distinct)} queries are "
                f"{check.nearness:.2f} as near to its points as points are to each other, where "
                f"{MIN_NEARNESS} is the least to expect and 0 is chance. {remedy}"
            )
        if check.share is not None and not check.is_match:
            share = format_percent(check.share, limit=MIN_SHARE)
            raise ModelMismatch(
                f'the searches of source "{self.source_name}" are of another embedding model than '
                f"the collection: of {check.pairs} queries, the point that each showed or that was "
                f"acted on is nearer than another's in {share} of comparisons, where "
                f"{format_exact_percent(MIN_SHARE)} is the least to expect and 50% is chance. "
                f"{remedy}"
            )

    def _collect_vectors(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            if row.get("type") != "event" and has_vector(row):
                try:
                    vector = parse_vector(row["query_vector"], self._dimension)
                    self._vectors.setdefault(get_query_id(row), vector)
                    if len(self._distinct) < MAX_PAIRS:
                        self._distinct.setdefault(vector.tobytes(), vector)
                except BadRow:
                    # The import refuses it.
                    continue
        while len(self._vectors) > 2 * MAX_PAIRS:
            del self._vectors[next(iter(self._vectors))]

    def _list_pairs(
        self, rows: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[str, tuple[PointId, ...]]]:
        """Yield query id and points of each row about a search whose vector waits."""
        for row in rows:
            try:
                query_id = get_query_id(row)
                if query_id not in self._vectors:
                    continue
                point = row.get("point")
                own = () if point is None else (parse_point_id(point),)
                yield query_id, own or parse_point_ids(row.get("shown"), "shown")
            except BadRow:
                continue
