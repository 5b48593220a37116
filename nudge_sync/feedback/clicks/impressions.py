"""Impressions: how often each point was shown at each rank for each query group, and clicked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64, Int32, Int64, pair_key
from nudge_sync.base.threads import map_in_threads
from nudge_sync.feedback.log.columns import Actions, ActionSelection, Searches
from nudge_sync.feedback.log.sorting import order_rows, sort_unique

MAX_RANK = 100
"""Lower ranks count as this one."""
LEAST_DISTANCES = (1, 2, 3, 5, 9, 17)
"""The least distance, in ranks, from a result to the last click above it, of each class from 1 on;
in class 0 nothing above was clicked."""
DISTANCE_CLASS_COUNT = len(LEAST_DISTANCES) + 1
_CHUNK_IMPRESSIONS = 1_000_000
"""Impressions that are summed at a time, before the sums of all chunks are added up: another size
would change the last bits of the result."""
_CHUNK_CLICKS = 1_000_000
"""Clicks of which the ranks are looked up at a time; the size changes no bit of the result."""
_CHUNK_INFERRED_PAIRS = 10_000
"""Pairs of which the impressions without a list are made up at a time."""


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


def find_ranks(searches: Searches, clicks: Actions | ActionSelection) -> Int32:
    """Return the rank of each click in its search's list, (e,), at most MAX_RANK.

    -1 where the list does not hold the point. Where the search logged no list, the rank that the
    click itself names, or 0.
    """
    rank = np.empty(len(clicks), np.int32)
    search, point, logged_rank = clicks.search, clicks.point, clicks.rank
    for start in range(0, len(clicks), _CHUNK_CLICKS):
        block = slice(start, start + _CHUNK_CLICKS)
        rank[block] = _find_ranks_in_lists(
            searches, search[block], point[block], logged_rank[block]
        )
    return rank


def _find_ranks_in_lists(
    searches: Searches,
    search: Int32,
    point: Int32,
    logged_rank: Int32,
) -> Int32:
    starts = searches.shown_starts[search]
    lengths = searches.shown_starts[search + 1] - starts
    rank = np.where(lengths > 0, -1, np.minimum(logged_rank, MAX_RANK)).astype(np.int32)
    for offset in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero((rank == -1) & (lengths > offset))
        is_match = searches.shown[starts[rows] + offset] == point[rows]
        rank[rows[is_match]] = min(offset + 1, MAX_RANK)
    return rank


def collect_impressions(
    searches: Searches,
    query_groups: Int32,
    clicks: Actions | ActionSelection,
    decay_factors: Float64,
) -> Impressions:
    """Return the impressions of every query group that has a click.

    query_groups: (s,), -1 for searches that do not count.  decay_factors: (s,).
    A search that logged no list is taken to have shown, at rank 0, every point that was clicked on
    any search of its group that logged none.
    """
    has_click = np.zeros(int(query_groups.max(initial=-1)) + 2, np.bool_)
    has_click[query_groups[clicks.search]] = True
    has_click[-1] = False
    rows = np.flatnonzero(has_click[query_groups])
    lengths = np.diff(searches.shown_starts).astype(np.int32)
    listed, unlisted = rows[lengths[rows] > 0], rows[lengths[rows] == 0]
    # Sorted by group, so that few chunks hold a row of the same group, point and rank.
    listed = listed[np.argsort(query_groups[listed], kind="stable")]
    click_index = _ClickIndex.build(clicks, len(query_groups))
    parts = [
        *map_in_threads(
            lambda chunk: _sum_impressions(
                _expand_lists(searches, chunk, lengths[chunk], click_index),
                query_groups,
                decay_factors,
            ),
            _split_searches(listed, lengths),
        ),
        *(
            _sum_impressions(impression_rows, query_groups, decay_factors)
            for impression_rows in _infer_impressions(
                unlisted, query_groups, clicks, lengths, click_index
            )
        ),
    ]
    return _merge_parts(parts)


@dataclass(frozen=True, slots=True)
class _ClickIndex:
    """The points that were clicked in each search."""

    keys: Int64
    """`pair_key(search, point)`, each once, ascending."""
    starts: Int64
    """(s + 1,): where each search's keys begin."""

    @staticmethod
    def build(clicks: Actions | ActionSelection, search_count: int) -> _ClickIndex:
        keys = sort_unique(pair_key(clicks.search, clicks.point))
        counts = np.bincount(keys >> 32, minlength=search_count)
        return _ClickIndex(keys, np.concatenate([[0], np.cumsum(counts)]))

    def find_points(self, rows: Int64) -> tuple[Int64, Int32]:
        """Return the points clicked in the searches `rows`, and before them the index into `rows`
        of the search of each.
        """
        begins = self.starts[rows]
        sizes = self.starts[rows + 1] - begins
        row_numbers = np.repeat(np.arange(len(rows)), sizes)
        key_rows = np.arange(len(row_numbers)) + np.repeat(begins - np.cumsum(sizes) + sizes, sizes)
        return row_numbers, (self.keys[key_rows] & 0xFFFFFFFF).astype(np.int32)


@dataclass(frozen=True, slots=True)
class _ImpressionRows:
    """One row for each single impression: a point shown in a search."""

    search: Int32
    point: Int32
    rank: NDArray[np.int8]
    distance_class: NDArray[np.int8]
    clicked: NDArray[np.bool_]
    skipped: NDArray[np.bool_]
    """Not clicked although a lower rank of the same list was."""


def _split_searches(rows: Int64, lengths: Int32) -> list[Int64]:
    """Return the searches in chunks that show about `_CHUNK_IMPRESSIONS` points each."""
    ends = np.cumsum(lengths[rows], dtype=np.int64)
    parts, start = [], 0
    while start < len(rows):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _CHUNK_IMPRESSIONS)))
        parts.append(rows[start:stop])
        start = stop
    return parts


def _expand_lists(
    searches: Searches,
    rows: Int64,
    sizes: Int32,
    click_index: _ClickIndex,
) -> _ImpressionRows:
    begins = np.cumsum(sizes, dtype=np.int64) - sizes
    offset = np.arange(int(sizes.sum())) - np.repeat(begins, sizes)
    rank = np.minimum(offset + 1, MAX_RANK).astype(np.int8)
    offset += np.repeat(searches.shown_starts[:-1][rows], sizes)
    point = searches.shown[offset]
    del offset
    is_clicked = _find_clicked_rows(rows, point, begins, sizes, click_index)
    last_clicked_rank = np.zeros(len(rows), np.int8)
    # Where a list has several clicks, the assignment of the lowest rank comes last and stays.
    clicked_rows = np.flatnonzero(is_clicked)
    last_clicked_rank[np.searchsorted(begins, clicked_rows, side="right") - 1] = rank[clicked_rows]
    return _ImpressionRows(
        np.repeat(rows, sizes).astype(np.int32),
        point,
        rank,
        distance_class=_classify_distances(is_clicked, np.repeat(begins, sizes)),
        clicked=is_clicked,
        skipped=~is_clicked & (rank < np.repeat(last_clicked_rank, sizes)),
    )


def _classify_distances(is_clicked: NDArray[np.bool_], list_starts: Int64) -> NDArray[np.int8]:
    """Return the class of the distance from each result to the last click above it, (m,).

    is_clicked, list_starts: (m,), of each result, and the row of the first one of its list.
    """
    rows = np.arange(len(is_clicked))
    last_clicked = np.full(len(rows), -1, np.int64)
    last_clicked[1:] = np.maximum.accumulate(np.where(is_clicked, rows, -1))[:-1]
    distance = np.where(last_clicked >= list_starts, rows - last_clicked, 0)
    return np.searchsorted(LEAST_DISTANCES, distance, side="right").astype(np.int8)


def _find_clicked_rows(
    rows: Int64,
    point: Int32,
    begins: Int64,
    sizes: Int32,
    click_index: _ClickIndex,
) -> NDArray[np.bool_]:
    """Return which points of the lists were clicked; each one where a list has a point twice."""
    row_numbers, clicked_points = click_index.find_points(rows)
    is_clicked = np.zeros(len(point), np.bool_)
    for offset in range(int(sizes[row_numbers].max(initial=0))):
        long_enough = np.flatnonzero(sizes[row_numbers] > offset)
        shown_rows = begins[row_numbers[long_enough]] + offset
        is_clicked[shown_rows[point[shown_rows] == clicked_points[long_enough]]] = True
    return is_clicked


def _infer_impressions(
    unlisted: Int64,
    query_groups: Int32,
    clicks: Actions | ActionSelection,
    lengths: Int32,
    click_index: _ClickIndex,
) -> Iterator[_ImpressionRows]:
    is_unlisted = lengths[clicks.search] == 0
    if not is_unlisted.any():
        return
    query_group, point = query_groups[clicks.search[is_unlisted]], clicks.point[is_unlisted]
    pair_keys = sort_unique(pair_key(query_group, point))
    order = np.argsort(query_groups[unlisted], kind="stable")
    searches, search_groups = unlisted[order], query_groups[unlisted][order]
    starts, stops = (
        np.searchsorted(search_groups, pair_keys >> 32),
        np.searchsorted(search_groups, pair_keys >> 32, side="right"),
    )
    for start in range(0, len(pair_keys), _CHUNK_INFERRED_PAIRS):
        block = slice(start, start + _CHUNK_INFERRED_PAIRS)
        sizes = stops[block] - starts[block]
        offset = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        search = searches[np.repeat(starts[block], sizes) + offset].astype(np.int32)
        point_block = np.repeat(pair_keys[block] & 0xFFFFFFFF, sizes).astype(np.int32)
        search_point_keys = pair_key(search, point_block)
        key_rows = np.minimum(
            np.searchsorted(click_index.keys, search_point_keys), len(click_index.keys) - 1
        )
        is_clicked = click_index.keys[key_rows] == search_point_keys
        yield _ImpressionRows(
            search,
            point_block,
            np.zeros(len(search), np.int8),
            distance_class=np.zeros(len(search), np.int8),
            clicked=is_clicked,
            skipped=np.zeros_like(is_clicked),
        )


def _sum_impressions(
    impression_rows: _ImpressionRows,
    query_groups: Int32,
    decay_factors: Float64,
) -> Impressions:
    """Return the sums of the rows, each (query group, point, rank, distance class) once."""
    factor = decay_factors[impression_rows.search]
    return _sum_by_key(
        (
            query_groups[impression_rows.search],
            impression_rows.point,
            impression_rows.rank,
            impression_rows.distance_class,
        ),
        (factor, factor * impression_rows.clicked, factor * impression_rows.skipped),
    )


def _sum_by_key(keys: tuple[NDArray[Any], ...], values: tuple[Float64, ...]) -> Impressions:
    order, is_new = order_rows(keys)
    run = np.cumsum(is_new) - 1
    first_rows = order[is_new]
    query_group, point, rank, distance_class = (key[first_rows].astype(np.int64) for key in keys)
    shown, clicked, skipped = (
        np.asarray(np.bincount(run, weights=value[order], minlength=len(first_rows)), np.float64)
        for value in values
    )
    return Impressions(query_group, point, rank, distance_class, shown, clicked, skipped)


def _merge_parts(parts: list[Impressions]) -> Impressions:
    if len(parts) == 1:
        return parts[0]
    empty: list[NDArray[Any]] = [np.zeros(0, np.int64)] * 4 + [np.zeros(0)] * 3
    part_columns = [
        empty,
        *([getattr(part, name) for name in Impressions.__slots__] for part in parts),
    ]
    columns = tuple(map(np.concatenate, zip(*part_columns, strict=True)))
    return _sum_by_key(columns[:4], columns[4:])
