"""Searches and events -> judgements: which points answer which queries, and how surely."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.progress import Progress, silent
from nudge_sync.config import FeedbackSettings
from nudge_sync.connector import Float32, PointId, Records
from nudge_sync.feedback.clicks.funnel import Stage
from nudge_sync.feedback.clicks.pipeline import weighed
from nudge_sync.feedback.labels import latest, overruled
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.log.load import read

__all__ = ["Expected", "Judgements", "Stage", "judged", "load"]


@dataclass(frozen=True, slots=True)
class Expected:
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
    funnel: list[Stage]
    expected: Expected
    set_aside: list[str] = field(default_factory=list)
    """Clients and sessions taken for bots."""
    pushed: list[PointId] = field(default_factory=list)
    """Points that somebody clicks wherever they stand."""

    def __len__(self) -> int:
        return len(self.point_ids)


def load(
    queries: Records,
    events: Records,
    settings: FeedbackSettings,
    dimension: int,
    progress: Progress = silent,
) -> Judgements:
    """The judgements that the records hold.

    Of labels on the same (query, point) the latest wins, of equally late ones the lowest, and a
    label overrules behaviour. Behaviour is weighed by all of `nudge_sync.feedback.clicks.pipeline`.
    Queries that are not stored, or of another dimension, are left out and counted.
    """
    return judged(read(queries, events, settings, dimension, progress), settings)


def judged(log: Log, settings: FeedbackSettings) -> Judgements:
    """The judgements of a log."""
    events = len(log.labels) + len(log.behaviour)
    funnel = [Stage("actions", events, log.unused, "an action without a weight")]
    if log.unreadable:
        reason = "no search or event as this version knows them"
        funnel.insert(0, Stage("records", events + log.unused, log.unreadable, reason))
    said = latest(log.labels)
    funnel.append(
        Stage("labels", len(said), len(log.labels) - len(said), "a later label on the same point")
    )
    known = said.search >= 0
    known[known] = log.searches.vector[said.search[known]] >= 0
    reason = "no search is stored, or its vector does not fit"
    funnel.append(Stage("labelled queries", int(known.sum()), int((~known).sum()), reason))
    said = said.only(known)
    done = weighed(log, settings) if len(log.behaviour) else None
    if done is None:
        return _judgements(log, _Pairs(said.search, said.point, said.weight), None, funnel)
    of = done.beliefs
    free = ~overruled(said, done.groups, of.search, of.point)
    behaved = _Pairs(of.search, of.point, done.weights).only(free & ~np.isnan(done.weights))
    hoped = _Pairs(of.search, of.point, done.gains).only(free)
    labels = _Pairs(said.search, said.point, said.weight)
    return replace(
        _judgements(
            log,
            labels.and_then(behaved),
            labels.and_then(hoped),
            [*funnel, *done.funnel],
        ),
        set_aside=done.set_aside,
        pushed=[log.points[row] for row in done.pushed],
    )


@dataclass(frozen=True, slots=True)
class _Pairs:
    search: NDArray[Any]
    point: NDArray[Any]
    value: NDArray[np.float64]

    def only(self, keep: NDArray[Any]) -> _Pairs:
        return _Pairs(self.search[keep], self.point[keep], self.value[keep])

    def and_then(self, other: _Pairs) -> _Pairs:
        """These, and the other's where these say nothing; sorted by search and point."""
        search = np.concatenate([self.search, other.search]).astype(np.int64)
        point = np.concatenate([self.point, other.point]).astype(np.int64)
        first = np.unique(search << 32 | point, return_index=True)[1]
        return _Pairs(search, point, np.concatenate([self.value, other.value])).only(first)


def _judgements(log: Log, pairs: _Pairs, hoped: _Pairs | None, funnel: list[Stage]) -> Judgements:
    # Searches and points are sorted by their text already.
    queries, rows = np.unique(pairs.search, return_inverse=True)
    hoped = pairs if hoped is None else hoped
    hoped = hoped.only((hoped.value > 0) & np.isin(hoped.search, queries))
    return Judgements(
        query_ids=[log.searches.names[row] for row in queries.tolist()],
        query_vectors=log.vectors[log.searches.vector[queries]],
        query_rows=rows.astype(np.int64),
        point_ids=[log.points[row] for row in pairs.point.tolist()],
        weights=pairs.value,
        funnel=funnel,
        expected=Expected(
            query_rows=np.searchsorted(queries, hoped.search).astype(np.int64),
            point_ids=[log.points[row] for row in hoped.point.tolist()],
            gains=hoped.value,
        ),
    )
