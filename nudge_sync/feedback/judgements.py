"""Searches and events -> judgements: which points answer which queries, and how surely."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import FeedbackSettings
from nudge_sync.connector import Float32, PointId, Records
from nudge_sync.feedback.clicks.funnel import FunnelStage
from nudge_sync.feedback.clicks.pipeline import estimate_relevance
from nudge_sync.feedback.labels import is_overruled, keep_latest_labels
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.log.load import load_log

__all__ = ["ExpectedGains", "FunnelStage", "Judgements", "build_judgements", "read_judgements"]


@dataclass(frozen=True, slots=True)
class ExpectedGains:
    """What a ranking is worth, for choosing and measuring: labels as said, and everything that was
    shown at its likelihood, also what is too doubtful to pull anything. Judged by the judgements
    alone, points that people rarely look at would seem worthless, and too small a move best.
    """

    query_rows: NDArray[np.int64]
    """(m,): as in `Judgements`."""
    point_ids: list[PointId]
    gains: NDArray[np.float64]
    """(m,): above 0."""


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
    funnel: list[FunnelStage]
    expected_gains: ExpectedGains
    suspected_bots: list[str] = field(default_factory=list)
    """Clients and sessions taken for bots."""
    promoted_points: list[PointId] = field(default_factory=list)
    """Points that somebody clicks wherever they stand."""

    def __len__(self) -> int:
        return len(self.point_ids)


def read_judgements(
    queries: Records,
    events: Records,
    settings: FeedbackSettings,
    dimension: int,
    progress: Progress = ignore_progress,
) -> Judgements:
    """The judgements that the records hold.

    Of labels on the same (query, point) the latest wins, of equally late ones the lowest, and a
    label overrules behaviour. Behaviour is weighed by all of `nudge_sync.feedback.clicks.pipeline`.
    Queries that are not stored, or of another dimension, are left out and counted.
    """
    return build_judgements(load_log(queries, events, settings, dimension, progress), settings)


def build_judgements(log: Log, settings: FeedbackSettings) -> Judgements:
    """The judgements of a log."""
    event_count = len(log.labels) + len(log.behaviour)
    funnel = [
        FunnelStage("actions", event_count, log.unweighted_events, "an action without a weight")
    ]
    if log.unreadable_records:
        reason = "no search or event as this version knows them"
        funnel.insert(
            0,
            FunnelStage(
                "records", event_count + log.unweighted_events, log.unreadable_records, reason
            ),
        )
    labels = keep_latest_labels(log.labels)
    funnel.append(
        FunnelStage(
            "labels", len(labels), len(log.labels) - len(labels), "a later label on the same point"
        )
    )
    has_query_vector = labels.search >= 0
    has_query_vector[has_query_vector] = (
        log.searches.vector_row[labels.search[has_query_vector]] >= 0
    )
    reason = "no search is stored, or its vector does not fit"
    funnel.append(
        FunnelStage(
            "labelled queries", int(has_query_vector.sum()), int((~has_query_vector).sum()), reason
        )
    )
    labels = labels.select(has_query_vector)
    estimates = estimate_relevance(log, settings) if len(log.behaviour) else None
    if estimates is None:
        return _assemble_judgements(
            log, _PairValues(labels.search, labels.point, labels.weight), None, funnel
        )
    pairs = estimates.pairs
    not_overruled = ~is_overruled(labels, estimates.query_groups, pairs.search, pairs.point)
    behaviour_weights = _PairValues(pairs.search, pairs.point, estimates.weights).select(
        not_overruled & ~np.isnan(estimates.weights)
    )
    behaviour_gains = _PairValues(pairs.search, pairs.point, estimates.expected_gain).select(
        not_overruled
    )
    label_values = _PairValues(labels.search, labels.point, labels.weight)
    return replace(
        _assemble_judgements(
            log,
            label_values.combine_first(behaviour_weights),
            label_values.combine_first(behaviour_gains),
            [*funnel, *estimates.funnel],
        ),
        suspected_bots=estimates.suspected_bots,
        promoted_points=[log.point_ids[row] for row in estimates.promoted_points],
    )


@dataclass(frozen=True, slots=True)
class _PairValues:
    search: NDArray[Any]
    point: NDArray[Any]
    value: NDArray[np.float64]

    def select(self, keep: NDArray[Any]) -> _PairValues:
        return _PairValues(self.search[keep], self.point[keep], self.value[keep])

    def combine_first(self, other: _PairValues) -> _PairValues:
        """These, and the other's where these say nothing; sorted by search and point."""
        search = np.concatenate([self.search, other.search]).astype(np.int64)
        point = np.concatenate([self.point, other.point]).astype(np.int64)
        first_rows = np.unique(search << 32 | point, return_index=True)[1]
        return _PairValues(search, point, np.concatenate([self.value, other.value])).select(
            first_rows
        )


def _assemble_judgements(
    log: Log, pairs: _PairValues, expected_gains: _PairValues | None, funnel: list[FunnelStage]
) -> Judgements:
    # Searches and points are sorted by their text already.
    searches, query_rows = np.unique(pairs.search, return_inverse=True)
    expected_gains = pairs if expected_gains is None else expected_gains
    expected_gains = expected_gains.select(
        (expected_gains.value > 0) & np.isin(expected_gains.search, searches)
    )
    return Judgements(
        query_ids=[log.searches.query_ids[row] for row in searches.tolist()],
        query_vectors=log.query_vectors[log.searches.vector_row[searches]],
        query_rows=query_rows.astype(np.int64),
        point_ids=[log.point_ids[row] for row in pairs.point.tolist()],
        weights=pairs.value,
        funnel=funnel,
        expected_gains=ExpectedGains(
            query_rows=np.searchsorted(searches, expected_gains.search).astype(np.int64),
            point_ids=[log.point_ids[row] for row in expected_gains.point.tolist()],
            gains=expected_gains.value,
        ),
    )
