"""Impressions: how often each point was shown at each rank for each query group, and clicked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64, Int32, Int64
from nudge_sync.base.threads import map_in_threads
from nudge_sync.feedback.clicks.impressions.single import MAX_RANK, ImpressionRows, part_impressions
from nudge_sync.feedback.log.columns import ActionSelection, Searches
from nudge_sync.feedback.log.sorting import order_rows


@dataclass(frozen=True, slots=True)
class Impressions:
    """One row for each (query group, point, rank, distance class), sorted by these.

    Counts are sums of decay factors, so that old behaviour counts for less.
    """

    query_group: Int64
    point: Int64
    rank: Int64
    """1 is the top; 0 where the search logged no list."""
    distance_class: Int64
    """How far above the last click of the same search is: see `LEAST_DISTANCES`."""
    shown: Float64
    """How often the point was shown at that rank."""
    clicked: Float64
    """How often it was shown there and clicked."""
    skipped: Float64
    """How often it was shown there and not clicked, although a lower rank was."""

    def __len__(self) -> int:
        return len(self.query_group)

    def ignore_order(self) -> Impressions:
        """Return the same rows as if nothing had been clicked above any of them."""
        return replace(self, distance_class=np.zeros_like(self.distance_class))

    def select(self, keep: NDArray[np.bool_]) -> Impressions:
        """Return the rows of a mask."""
        return Impressions(*(getattr(self, name)[keep] for name in self.__slots__))


def count_by_rank(impressions: Impressions) -> tuple[Float64, Float64]:
    """Return how often each rank was shown, and how often it was clicked, each (MAX_RANK + 1,)."""
    return (
        sum_by_rank(impressions.rank, impressions.shown),
        sum_by_rank(impressions.rank, impressions.clicked),
    )


def sum_by_rank(ranks: Int64, values: Float64) -> Float64:
    """Return the sum of `values` over each rank from 0 to MAX_RANK."""
    return np.asarray(np.bincount(ranks, weights=values, minlength=MAX_RANK + 1), np.float64)


def collect_impressions(
    searches: Searches,
    query_groups: Int32,
    clicks: ActionSelection,
    decay_factors: Float64,
) -> Impressions:
    """Return the impressions of every query group that has a click.

    query_groups: (s,), -1 for searches that do not count.  decay_factors: (s,).
    A search that logged no list is taken to have shown, at rank 0, every point that was clicked on
    any search of its group that logged none. Each count is summed one impression after the other,
    in the order of the searches.
    """
    parted = part_impressions(searches, query_groups, clicks)

    def sum_partition(partition: int) -> Impressions:
        listed = _concatenate([])
        for rows in parted.read_listed(partition):
            # The sums so far come first, so that the parts change no bit.
            columns = _concatenate([listed, _list_columns(rows, query_groups, decay_factors)])
            listed = _sum_by_key(columns)
        inferred = [
            _sum_by_key(_list_columns(rows, query_groups, decay_factors))
            for rows in parted.infer_unlisted(partition, query_groups)
        ]
        return _sum_by_key(_concatenate([listed, *inferred])) if inferred else listed

    return _concatenate(map_in_threads(sum_partition, range(len(parted))))


def _list_columns(rows: ImpressionRows, query_groups: Int32, decay_factors: Float64) -> Impressions:
    """Return the rows as impressions that are neither sorted nor summed."""
    factor = decay_factors[rows.search]
    return Impressions(
        query_groups[rows.search].astype(np.int64),
        rows.point.astype(np.int64),
        rows.rank.astype(np.int64),
        rows.distance_class.astype(np.int64),
        factor,
        factor * rows.clicked,
        factor * rows.skipped,
    )


def _sum_by_key(rows: Impressions) -> Impressions:
    """Return the sums of the rows, each (query group, point, rank, distance class) once.

    They are added in their order.
    """
    keys = (rows.query_group, rows.point, rows.rank, rows.distance_class)
    order, is_new = order_rows(keys)
    run = np.cumsum(is_new) - 1
    first_rows = order[is_new]
    query_group, point, rank, distance_class = (key[first_rows] for key in keys)
    shown, clicked, skipped = (
        np.asarray(np.bincount(run, weights=value[order], minlength=len(first_rows)), np.float64)
        for value in (rows.shown, rows.clicked, rows.skipped)
    )
    return Impressions(query_group, point, rank, distance_class, shown, clicked, skipped)


def _concatenate(parts: Sequence[Impressions]) -> Impressions:
    empty: list[NDArray[Any]] = [np.zeros(0, np.int64)] * 4 + [np.zeros(0)] * 3
    part_columns = ([getattr(part, name) for name in Impressions.__slots__] for part in parts)
    return Impressions(*map(np.concatenate, zip(empty, *part_columns, strict=True)))
