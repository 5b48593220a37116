"""Judgements: which points answer which queries, and with what weight, by all feedback there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32, Float64, Int32, Int64, pair_key
from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.base.tracing import traced
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import PointId, Records
from nudge_sync.feedback.blocks.counts import BlockCounts
from nudge_sync.feedback.clicks.pipeline import BehaviourEstimates, estimate_relevance
from nudge_sync.feedback.clicks.stages import FunnelStage, count_stage
from nudge_sync.feedback.cold_share import ColdShare, estimate_cold_share
from nudge_sync.feedback.labels import group_labels, is_overruled, keep_latest_labels
from nudge_sync.feedback.log.collection_log import load_collection_log
from nudge_sync.feedback.log.columns import Actions, Log
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.same_questions import find_first_asked
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.store.target import Target

__all__ = [
    "ExpectedGains",
    "FunnelStage",
    "Judgements",
    "build_judgements",
    "load_judgements",
    "read_judgements",
]


@dataclass(frozen=True, slots=True)
class ExpectedGains:
    """What finding each point is expected to be worth, for choosing and measuring.

    A label is worth its weight. Behaviour is worth its relevance, also where that is too doubtful
    to give the point a weight: by the judgements alone, points that people rarely examine would
    seem worthless, and too small a move would seem best.
    """

    query_rows: Int64
    """(m,): rows of `Judgements.query_vectors`."""
    point_ids: list[PointId]
    gains: Float64
    """(m,): above 0."""


@dataclass(frozen=True, slots=True)
class Judgements:
    """Judgements in one fixed order, whatever the order of the records they came from."""

    query_ids: list[str]
    """Sorted; only queries with a judgement."""
    query_vectors: Float32
    """(q, d), unit rows. Vectors of one question that differ by noise are that of its first
    search."""
    query_rows: Int64
    """(m,): the row of `query_vectors` that each judgement is about, ascending."""
    point_ids: list[PointId]
    """(m,): sorted by their text within a query."""
    weights: Float64
    """(m,): above 0 the point is pulled towards the query; at 0 or below it is a negative."""
    funnel: list[FunnelStage]
    expected_gains: ExpectedGains
    only_labels: bool
    """Whether no weight and no expected gain above 0 comes from behaviour: then all points are
    pulled alike, and the weight of a judgement says what finding the point is worth."""
    suspected_bots: list[str] = field(default_factory=list)
    """Clients and sessions taken for bots."""
    promoted_points: list[PointId] = field(default_factory=list)
    """Points that some people click at whatever rank they are shown."""
    former_searches: int = 0
    """Searches left out because their vectors are of a former embedding space."""
    cold_share: ColdShare = field(default_factory=ColdShare)
    """How much answers on points without feedback count, as far as the log tells."""
    block_counts: BlockCounts | None = field(default=None, compare=False)
    """How much of the log was read as blocks; None where blocks are not used."""
    query_times: Float64 | None = None
    """(q,): when each query was first acted on, in seconds since 1970, 0 where undated; None where
    nobody knows."""

    def __len__(self) -> int:
        return len(self.point_ids)


@traced("nudge_sync.read")
def load_judgements(
    target: Target,
    settings: CollectionSettings,
    progress: Progress = ignore_progress,
    *,
    keep_blocks: bool = False,
) -> Judgements:
    """Return the judgements of a collection, from all its feedback, by its own settings.

    keep_blocks: see `load_collection_log`.
    Searches of a former embedding space are left out, unless `gate.max_drifted_share` is 1.
    Raises ConfigError where the application's log cannot be read as configured, DatabaseError,
    DamagedRecord.
    """
    log = load_collection_log(target, settings, progress, keep_blocks=keep_blocks)
    return build_judgements(log, settings.feedback)


def read_judgements(
    queries: Records,
    events: Records,
    settings: FeedbackSettings,
    dimension: int,
    progress: Progress = ignore_progress,
) -> Judgements:
    """Return the judgements that records of searches and events hold; see `build_judgements`."""
    return build_judgements(load_log(queries, events, settings, dimension, progress), settings)


def build_judgements(log: Log, settings: FeedbackSettings) -> Judgements:
    """Return the judgements of a log.

    Of the labels on one (query, point) the latest counts, of equally late ones the lowest; a label
    overrules behaviour. What behaviour says is estimated by `clicks.pipeline`. Searches that are
    not stored, or whose vector does not fit, are left out and counted in the funnel.
    """
    labels, funnel = _select_labels(log)
    label_values = _PairValues(labels.search, labels.point, labels.weight)
    if not len(log.behaviour):
        return _assemble_judgements(log, label_values, label_values, funnel, only_labels=True)
    estimates = estimate_relevance(log, settings)
    label_groups = group_labels(log, labels, estimates.query_groups, settings.merge_cosine)
    weights, gains, overruled = _list_behaviour(estimates, labels, label_groups)
    is_behaviour_found = (weights.value > 0).any() or gains.select(
        np.isin(gains.search, np.concatenate([labels.search, weights.search]))
    ).value.any()
    return _assemble_judgements(
        log,
        label_values.combine_first(weights),
        label_values.combine_first(gains),
        [*funnel, *estimates.funnel, overruled],
        only_labels=not is_behaviour_found,
        suspected_bots=estimates.suspected_bots,
        promoted_points=[log.point_ids[row] for row in estimates.promoted_points],
    )


@dataclass(frozen=True, slots=True)
class _PairValues:
    """A value for each pair of a search and a point."""

    search: NDArray[Any]
    point: NDArray[Any]
    value: Float64

    def select(self, keep: NDArray[Any]) -> _PairValues:
        """Return the rows of a mask, or those listed, in that order."""
        return _PairValues(self.search[keep], self.point[keep], self.value[keep])

    def combine_first(self, other: _PairValues) -> _PairValues:
        """Return these, and the other's where these have none, sorted by search and point."""
        search = np.concatenate([self.search, other.search]).astype(np.int64)
        point = np.concatenate([self.point, other.point]).astype(np.int64)
        first_rows = np.unique(pair_key(search, point), return_index=True)[1]
        values = np.concatenate([self.value, other.value])
        return _PairValues(search, point, values).select(first_rows)


def _select_labels(log: Log) -> tuple[Actions, list[FunnelStage]]:
    """Return the labels that count, and the funnel up to them."""
    event_count = len(log.labels) + len(log.behaviour)
    funnel = [
        FunnelStage("actions", event_count, log.unweighted_events, "an action without a weight")
    ]
    if log.unreadable_records:
        read = event_count + log.unweighted_events
        reason = "no search or event as this version knows them"
        funnel.insert(0, FunnelStage("records", read, log.unreadable_records, reason))
    labels = keep_latest_labels(log.labels)
    repeated = len(log.labels) - len(labels)
    funnel.append(FunnelStage("labels", len(labels), repeated, "a later label on the same point"))
    has_vector = labels.search >= 0
    has_vector[has_vector] = log.searches.vector_row[labels.search[has_vector]] >= 0
    reason = "no search is stored, or its vector does not fit"
    funnel.append(count_stage("labelled queries", has_vector, reason))
    if len(log.behaviour):
        reason = "the events that are no labels go on from here"
        funnel.append(FunnelStage("behaviour", len(log.behaviour), 0, reason))
    return labels.select(has_vector), funnel


def _list_behaviour(
    estimates: BehaviourEstimates, labels: Actions, label_groups: Int32
) -> tuple[_PairValues, _PairValues, FunnelStage]:
    """Return the weights and expected gains that behaviour gives where no label overrules it.

    The stage counts the pairs with a weight above 0 that a label overrules.
    """
    pairs = estimates.pairs
    is_free = ~is_overruled(labels, label_groups, estimates.query_groups, pairs.search, pairs.point)
    weights = _PairValues(pairs.search, pairs.point, estimates.weights)
    gains = _PairValues(pairs.search, pairs.point, estimates.expected_gain)
    overruled = count_stage(
        "overruled", is_free[estimates.weights > 0], "a label on the same point counts instead"
    )
    return weights.select(is_free & ~np.isnan(estimates.weights)), gains.select(is_free), overruled


def _assemble_judgements(
    log: Log,
    pairs: _PairValues,
    expected_gains: _PairValues,
    funnel: list[FunnelStage],
    *,
    only_labels: bool,
    suspected_bots: Sequence[str] = (),
    promoted_points: Sequence[PointId] = (),
) -> Judgements:
    # Rows of searches and points are in the order of their text already.
    searches, query_rows = np.unique(pairs.search, return_inverse=True)
    has_feedback = np.zeros(len(log.point_ids), np.bool_)
    has_feedback[pairs.point[pairs.value > 0]] = True
    times = log.searches.time[searches]
    vector_rows = find_first_asked(log.query_vectors, log.searches.vector_row[searches], times)
    expected_gains = expected_gains.select(
        (expected_gains.value > 0) & np.isin(expected_gains.search, searches)
    )
    return Judgements(
        query_ids=[log.searches.query_ids[row] for row in searches.tolist()],
        query_vectors=log.query_vectors[vector_rows],
        query_rows=query_rows.astype(np.int64),
        point_ids=[log.point_ids[row] for row in pairs.point.tolist()],
        weights=pairs.value,
        funnel=funnel,
        expected_gains=ExpectedGains(
            query_rows=np.searchsorted(searches, expected_gains.search).astype(np.int64),
            point_ids=[log.point_ids[row] for row in expected_gains.point.tolist()],
            gains=expected_gains.value,
        ),
        only_labels=only_labels,
        suspected_bots=list(suspected_bots),
        promoted_points=list(promoted_points),
        former_searches=log.former_searches,
        cold_share=estimate_cold_share(log.searches, has_feedback),
        block_counts=log.block_counts,
        query_times=times,
    )
