"""What held-out queries find: by arithmetic before anything is written, by search afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.progress import Progress
from nudge_sync.config import GateSettings, MetricName
from nudge_sync.connector import Collection, Float32, PointId
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.metrics import Metric, parse
from nudge_sync.solve.relevance import ideal

METRICS: tuple[MetricName, ...] = get_args(MetricName)
DEPTH = 10
"""Places that every metric looks at, at most."""
HELD_SHARE = 0.2
"""Share of the queries that chooses nothing and only tells the truth."""
CHUNK = 256
"""Queries a search asks at once."""

Scores = dict[MetricName, NDArray[np.float64]]
"""What each query scores, (q,), by each metric."""


@dataclass(frozen=True)
class Probe:
    """Held-out queries, to be asked of the live index."""

    vectors: Float32
    """(q, d)."""
    ids: list[PointId]
    """The point of each column of `relevance`."""
    relevance: csr_matrix
    """(q, n) grades."""
    rows: NDArray[np.intp]
    """(q,): the rows of the judgements that these queries are."""

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True)
class LiveCheck:
    """Means over the held-out queries, found through the live index."""

    before: dict[str, float]
    after: dict[str, float]
    lost: bool
    reason: str = ""

    def summary(self) -> dict[str, Any]:
        """The `live` field of `apply --json`."""
        return {"before": self.before, "after": self.after, "lost": self.lost}


def hashed(vectors: Float32) -> NDArray[np.float64]:
    """A number in [0, 1) for each query (q, d), the same in every cycle.

    It depends on the vector alone, so that the same question asked twice stays on one side of
    every split.
    """
    rough = np.ascontiguousarray(vectors, dtype="<f2")
    words = [hashlib.blake2b(row.tobytes(), digest_size=6).digest() for row in rough]
    return np.array([int.from_bytes(word, "big") / 2**48 for word in words], dtype=np.float64)


def in_order(ids: Iterable[PointId]) -> list[PointId]:
    """Each id once, in a fixed order."""
    return sorted(set(ids), key=lambda point: (str(point), isinstance(point, str)))


def held_out(judgements: Judgements) -> Probe:
    """The queries that the cycle keeps out of every choice."""
    said = judgements.expected_gains
    ids = in_order(said.point_ids)
    column = {point: number for number, point in enumerate(ids)}
    cells = (said.query_rows, np.array([column[point] for point in said.point_ids], np.int64))
    shape = (len(judgements.query_ids), len(ids))
    relevance = csr_matrix((said.gains, cells), shape=shape, dtype=np.float64)
    rows = np.flatnonzero(hashed(judgements.query_vectors) < HELD_SHARE)
    return Probe(judgements.query_vectors[rows], ids, relevance[rows], rows)


def live_means(
    collection: Collection, probe: Probe, *, exact: bool, progress: Progress
) -> dict[str, float]:
    """The mean of every metric over the probe's queries, through the live index."""
    found: list[list[PointId]] = []
    for start in range(0, len(probe), CHUNK):
        progress("measure", start, len(probe))
        found += collection.search(probe.vectors[start : start + CHUNK], DEPTH, exact=exact).ids
    progress("measure", len(probe), len(probe))
    return found_means(probe, dict(enumerate(found)))


def found_means(probe: Probe, found: Mapping[int, Sequence[PointId]]) -> dict[str, float]:
    """The mean of every metric, from the ids found for each row of the probe, best first.

    A row that is not in `found` found nothing.
    """
    gains = np.zeros((len(probe), DEPTH))
    column = {point: number for number, point in enumerate(probe.ids)}
    for row, ids in found.items():
        gains[row, : len(ids[:DEPTH])] = _grades(probe.relevance, row, ids[:DEPTH], column)
    return {name: _mean(values) for name, values in ranked(gains, probe.relevance).items()}


def _grades(
    relevance: csr_matrix, row: int, found: Sequence[PointId], column: dict[PointId, int]
) -> list[float]:
    span = slice(relevance.indptr[row], relevance.indptr[row + 1])
    grades = dict(zip(relevance.indices[span], relevance.data[span], strict=True))
    return [max(grades.get(column.get(point, -1), 0.0), 0.0) for point in found]


def ranked(gains: NDArray[np.float64], relevance: csr_matrix) -> Scores:
    """Every metric of ranked lists: `gains` (q, DEPTH) holds the grades found, best first."""
    return {name: _ranked(gains, relevance, parse(name)) for name in METRICS}


def _ranked(
    gains: NDArray[np.float64], relevance: csr_matrix, metric: Metric
) -> NDArray[np.float64]:
    worth = metric.gains(gains[:, : metric.depth]) * metric.discounts()[: metric.depth]
    total = worth.max(axis=1, initial=0.0) if metric.kind == "mrr" else worth.sum(axis=1)
    best = ideal(relevance, metric)
    return np.asarray(np.divide(total, best, out=np.zeros_like(total), where=best > 0))


def _mean(values: NDArray[np.float64]) -> float:
    return round(float(np.mean(values)), 6) if len(values) else 0.0


def live_check(
    before: dict[str, float], after: dict[str, float], metric: MetricName, settings: GateSettings
) -> LiveCheck:
    """Whether the live index got worse by more than the gate allows."""
    change = after.get(metric, 0.0) - before.get(metric, 0.0)
    lost = change < -settings.max_loss
    reason = (
        f"measured through the live index, {metric} of the held-out queries went from "
        f"{before.get(metric, 0.0):.4f} to {after.get(metric, 0.0):.4f}"
    )
    return LiveCheck(before, after, lost, reason)
