"""An overlay: the points whose vectors differ between the two arms, with those of one arm."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite

import numpy as np

from nudge_sync.base.arrays import Float32, Float64, Int64
from nudge_sync.connector import Metric, PointId

_TOLERANCE = 4e-6
"""What a sum of float32 products may be off by, in units of the two vectors' lengths."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Points with their scores, best first; scores grow with nearness, as in `Hits`."""

    ids: list[PointId]
    scores: list[float]


class Overlay:
    """Ids, and the vectors that these points have in one arm: (n, d).

    A search of that arm takes the points from here and never from the collection: whatever the
    overlay holds, the collection's own answer about it is dropped.
    """

    def __init__(self, ids: Sequence[PointId], vectors: Float32, metric: Metric) -> None:
        """Take the vectors as they are stored; ids are unique, and `metric` is the collection's."""
        self.ids = list(ids)
        self.metric = metric
        self.vectors = _to_unit_rows(vectors) if metric == "cosine" else _to_contiguous(vectors)
        self.rows = {id_: row for row, id_ in enumerate(self.ids)}
        squares = np.einsum("ij,ij->i", self.vectors, self.vectors, dtype=np.float64)
        self.max_length = float(np.sqrt(squares.max(initial=0.0)))
        """Of all vectors, which bounds every product with a query."""
        self.half_squares = (squares / 2).astype(np.float32) if metric == "euclid" else None
        """(n,): half the squared length of each vector; for Euclidean distance alone."""

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id_: PointId) -> bool:
        return id_ in self.rows

    def query(self, vector: Float32) -> OverlayQuery:
        """Return the search for a query vector, (d,), of any length; nothing is computed yet."""
        return OverlayQuery(self, np.ascontiguousarray(vector, np.float32))


class OverlayQuery:
    """A search of an overlay. Products with all its vectors are computed once, when needed.

    Scores are what the engine computes, up to the last bits of float32: cosine, dot product, or
    minus the Euclidean distance.
    """

    def __init__(self, overlay: Overlay, query: Float32) -> None:
        self._overlay, self._query = overlay, query

    def find_best(self, k: int, floor: float) -> Scored:
        """Return the `k` best points whose scores reach `floor`; of equal ones, the smaller id."""
        rows = self._select_rows(k, floor) if len(self._overlay) and k > 0 else []
        return self._rank(rows, k, floor)

    def score(self, ids: Collection[PointId]) -> Scored:
        """Return those of `ids` that the overlay holds, best first."""
        rows = self._overlay.rows
        return self._rank([rows[id_] for id_ in ids if id_ in rows], len(ids), -np.inf)

    @cached_property
    def _keys(self) -> Float32:
        """(n,): what grows with the score of each point, computed in float32."""
        products = multiply_rows(self._overlay.vectors, self._query)
        if self._overlay.half_squares is not None:
            # The nearest has the largest product less half its own squared length.
            products -= self._overlay.half_squares
        return products

    @cached_property
    def _length(self) -> float:
        return float(np.linalg.norm(self._query.astype(np.float64)))

    def _select_rows(self, k: int, floor: float) -> Sequence[int] | Int64:
        """Return the rows that may be among the best: those in reach of the floor and, if they are
        more than k, of the k-th, as far as float32 tells.
        """
        longest = self._overlay.max_length
        tolerance = _TOLERANCE * longest * max(longest, self._length)
        rows = np.flatnonzero(self._keys >= self._to_key(floor) - tolerance)
        if len(rows) > k:
            keys = self._keys[rows]
            rows = rows[keys >= np.partition(keys, len(rows) - k)[len(rows) - k] - tolerance]
        return rows

    def _to_key(self, score: float) -> float:
        if self._overlay.metric == "cosine":
            return score * self._length if self._length else -np.inf
        if self._overlay.metric == "dot" or not isfinite(score):
            return score
        return (self._length**2 - score**2) / 2

    def _rank(self, rows: Sequence[int] | Int64, k: int, floor: float) -> Scored:
        if not len(rows):
            return Scored([], [])
        ids = [self._overlay.ids[row] for row in rows]
        scored = zip(self._compute_scores(rows), ids, strict=True)
        reached = [(score, id_) for score, id_ in scored if score >= floor]
        reached.sort(key=lambda pair: (-pair[0], str(pair[1])))
        return Scored([id_ for _, id_ in reached[:k]], [score for score, _ in reached[:k]])

    def _compute_scores(self, rows: Sequence[int] | Int64) -> list[float]:
        """Return the scores of some rows, computed in float64 and rounded to float32."""
        vectors = self._overlay.vectors[np.asarray(rows, np.intp)].astype(np.float64)
        query = self._query.astype(np.float64)
        scores: Float64
        if self._overlay.metric == "euclid":
            scores = -np.linalg.norm(vectors - query, axis=1)
        else:
            divisor = self._length if self._overlay.metric == "cosine" and self._length else 1.0
            scores = np.einsum("ij,j->i", vectors, query) / divisor
        rounded: list[float] = scores.astype(np.float32).tolist()
        return rounded


def multiply_rows(vectors: Float32, query: Float32) -> Float32:
    """Return (n,): the dot product of each row with the query, on the calling thread alone.

    `vectors @ query` would wake all threads of the BLAS, for which an application that serves
    requests on busy cores waits many milliseconds.
    """
    if hasattr(np, "vecdot"):
        return np.asarray(np.vecdot(vectors, query))
    return np.asarray(np.einsum("ij,j->i", vectors, query))


def _to_contiguous(vectors: Float32) -> Float32:
    return np.ascontiguousarray(vectors, np.float32)


def _to_unit_rows(vectors: Float32) -> Float32:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))[:, None]
    units = np.divide(vectors, lengths, where=lengths > 0, out=np.zeros(vectors.shape, np.float64))
    return _to_contiguous(units.astype(np.float32))
