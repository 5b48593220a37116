"""Searches and events -> judgements: which points answer which queries, and how surely."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nudge_sync.config import FeedbackSettings
from nudge_sync.connector import Float32, PointId, Records
from nudge_sync.feedback.records import Event, event_of

LABELS = frozenset({"relevant", "not_relevant"})


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage kept and what it removed, and why."""

    name: str
    kept: int
    removed: int
    reason: str


@dataclass(frozen=True, slots=True)
class Judgements:
    """Judgements in a fixed order, whatever the order of the records they came from."""

    query_ids: list[str]
    """Sorted; only queries with a judgement."""
    query_vectors: Float32
    """(q, d), unit rows."""
    query_rows: NDArray[np.int64]
    """(m,): a row of `query_vectors` for each judgement, ascending."""
    point_ids: list[PointId]
    """(m,): within a query in the order of their text."""
    weights: NDArray[np.float64]
    """(m,): above 0 pulls; 0 or below is recorded and pulls nothing."""
    funnel: list[Stage]

    def __len__(self) -> int:
        return len(self.point_ids)


def load(
    queries: Records, events: Records, settings: FeedbackSettings, dimension: int
) -> Judgements:
    """The judgements that the records hold.

    Of labelled answers to the same (query, point) the latest wins, of equally late ones the
    lowest; clicks add up. Queries that are not stored, or of another dimension, are left out.
    """
    found = [event_of(record) for batch in events.scan(vectors=False) for record in batch]
    used = [event for event in found if event.action_name in settings.actions]
    funnel = [Stage("actions", len(used), len(found) - len(used), "an action without a weight")]
    weights = _weights(used, settings.actions)
    vectors = _vectors(queries, {query for query, _ in weights}, dimension)
    kept = {pair: weight for pair, weight in weights.items() if pair[0] in vectors}
    removed = len(weights) - len(kept)
    funnel.append(Stage("queries", len(kept), removed, "no search, or of another dimension"))
    return _arranged(kept, vectors, dimension, funnel)


def _weights(
    events: Iterable[Event], actions: Mapping[str, float]
) -> dict[tuple[str, PointId], float]:
    labels: dict[tuple[str, PointId], tuple[float, float]] = {}
    clicks: defaultdict[tuple[str, PointId], list[float]] = defaultdict(list)
    for event in events:
        pair = (event.query_id, event.object_id)
        weight = actions[event.action_name] * (1.0 if event.grade is None else event.grade)
        if event.action_name not in LABELS:
            clicks[pair].append(weight)
        elif pair not in labels or (event.timestamp, -weight) > labels[pair]:
            labels[pair] = (event.timestamp, -weight)
    # Sorted, so that the sum does not depend on the order of the records.
    added = {pair: float(np.sum(sorted(parts))) for pair, parts in clicks.items()}
    return added | {pair: -negated for pair, (_, negated) in labels.items()}


def _vectors(queries: Records, wanted: set[str], dimension: int) -> dict[str, Float32]:
    found: dict[str, Float32] = {}
    names = sorted(wanted)
    for start in range(0, len(names), 1000):
        for record in queries.get(names[start : start + 1000]):
            if record.vector is not None and record.vector.shape == (dimension,):
                found[record.key] = unit(record.vector)
    return found


def unit(vector: Float32) -> Float32:
    """The vector with length 1, computed in float64."""
    wide = vector.astype(np.float64)
    return np.asarray(wide / np.linalg.norm(wide), dtype=np.float32)


def _arranged(
    weights: Mapping[tuple[str, PointId], float],
    vectors: Mapping[str, Float32],
    dimension: int,
    funnel: list[Stage],
) -> Judgements:
    names = sorted({query for query, _ in weights})
    rows = {name: row for row, name in enumerate(names)}
    pairs = sorted(weights, key=lambda pair: (pair[0], str(pair[1]), isinstance(pair[1], str)))
    matrix = np.zeros((len(names), dimension), np.float32)
    for name, row in rows.items():
        matrix[row] = vectors[name]
    return Judgements(
        query_ids=names,
        query_vectors=matrix,
        query_rows=np.array([rows[query] for query, _ in pairs], np.int64),
        point_ids=[point for _, point in pairs],
        weights=np.array([weights[pair] for pair in pairs], np.float64),
        funnel=funnel,
    )
