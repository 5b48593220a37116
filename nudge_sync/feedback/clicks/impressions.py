"""What was shown where, and what of it was clicked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.threads import map_in_threads
from nudge_sync.feedback.log.columns import Actions, ActionSelection, Searches
from nudge_sync.feedback.log.sorting import order_rows, sort_unique

MAX_RANK = 100
"""Places further down count as this one."""
_CHUNK_IMPRESSIONS = 1_000_000
"""Impressions at a time. Each such part is summed for itself, and then all parts, so that other
parts would have other last bits."""
_CHUNK_CLICKS = 1_000_000
"""Likewise clicks, which are only looked up."""


@dataclass(frozen=True, slots=True)
class Impressions:
    """One row for each (group of queries, point, position), sorted by these."""

    query_group: NDArray[np.int64]
    point: NDArray[np.int64]
    rank: NDArray[np.int64]
    shown: NDArray[np.float64]
    """How often, old times counting less."""
    clicked: NDArray[np.float64]
    skipped: NDArray[np.float64]
    """How often not clicked although something further down was."""

    def __len__(self) -> int:
        return len(self.query_group)

    def select(self, keep: NDArray[np.bool_]) -> Impressions:
        """The rows of a mask."""
        return Impressions(*(getattr(self, name)[keep] for name in self.__slots__))


def find_ranks(searches: Searches, clicks: Actions | ActionSelection) -> NDArray[np.int32]:
    """The place of each click in its search's list; its own word where nothing was listed (0 if
    it has none), and -1 where it was not among what was listed.
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
    search: NDArray[np.int32],
    point: NDArray[np.int32],
    logged_rank: NDArray[np.int32],
) -> NDArray[np.int32]:
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
    query_groups: NDArray[np.int32],
    clicks: Actions | ActionSelection,
    decay_factors: NDArray[np.float64],
) -> Impressions:
    """Every impression of the groups that have a click.

    groups: (s,), -1 for searches that do not count. worth: (s,). A search that logged no list is
    taken to have shown every point that was clicked on any such search of its group, at place 0.
    """
    has_click = np.zeros(int(query_groups.max(initial=-1)) + 2, np.bool_)
    has_click[query_groups[clicks.search]] = True
    has_click[-1] = False
    rows = np.flatnonzero(has_click[query_groups])
    lengths = np.diff(searches.shown_starts).astype(np.int32)
    listed, unlisted = rows[lengths[rows] > 0], rows[lengths[rows] == 0]
    # Group by group, so that the same group, point and place is in few parts.
    listed = listed[np.argsort(query_groups[listed], kind="stable")]
    click_index = _ClickIndex.build(clicks, len(query_groups))
    parts = [
        *map_in_threads(
            lambda some: _sum_impressions(
                _expand_lists(searches, some, lengths[some], click_index),
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
    """What was clicked in each search."""

    keys: NDArray[np.int64]
    """Search in the upper bits, point in the lower; each once, ascending."""
    starts: NDArray[np.int64]
    """(s + 1,): where each search's keys begin."""

    @staticmethod
    def build(clicks: Actions | ActionSelection, search_count: int) -> _ClickIndex:
        keys = sort_unique(_pair_keys(clicks.search, clicks.point))
        counts = np.bincount(keys >> 32, minlength=search_count)
        return _ClickIndex(keys, np.concatenate([[0], np.cumsum(counts)]))

    def find_points(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The points clicked in these searches, and before them the place in `rows` of each."""
        begins = self.starts[rows]
        sizes = self.starts[rows + 1] - begins
        row_numbers = np.repeat(np.arange(len(rows)), sizes)
        key_rows = np.arange(len(row_numbers)) + np.repeat(begins - np.cumsum(sizes) + sizes, sizes)
        return row_numbers, (self.keys[key_rows] & 0xFFFFFFFF).astype(np.int32)


@dataclass(frozen=True, slots=True)
class _ImpressionRows:
    """One row an impression."""

    search: NDArray[np.int32]
    point: NDArray[np.int32]
    rank: NDArray[np.int8]
    clicked: NDArray[np.bool_]
    """Clicked."""
    skipped: NDArray[np.bool_]
    """Not clicked although something further down was."""


def _pair_keys(search: NDArray[np.int32], point: NDArray[np.int32]) -> NDArray[np.int64]:
    keys = search.astype(np.int64)
    keys <<= 32
    keys |= point
    return keys


def _split_searches(rows: NDArray[np.int64], lengths: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """The searches in parts that show about `_CHUNK` points each."""
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
    rows: NDArray[np.int64],
    sizes: NDArray[np.int32],
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
    # Of a list's clicks the last one is assigned last.
    clicked_rows = np.flatnonzero(is_clicked)
    last_clicked_rank[np.searchsorted(begins, clicked_rows, side="right") - 1] = rank[clicked_rows]
    skipped = ~is_clicked & (rank < np.repeat(last_clicked_rank, sizes))
    return _ImpressionRows(
        np.repeat(rows, sizes).astype(np.int32), point, rank, is_clicked, skipped
    )


def _find_clicked_rows(
    rows: NDArray[np.int64],
    point: NDArray[np.int32],
    begins: NDArray[np.int64],
    sizes: NDArray[np.int32],
    click_index: _ClickIndex,
) -> NDArray[np.bool_]:
    """Which of the lists' points were clicked, all of a list where it has the point twice."""
    row_numbers, clicked_points = click_index.find_points(rows)
    is_clicked = np.zeros(len(point), np.bool_)
    for offset in range(int(sizes[row_numbers].max(initial=0))):
        long_enough = np.flatnonzero(sizes[row_numbers] > offset)
        shown_rows = begins[row_numbers[long_enough]] + offset
        is_clicked[shown_rows[point[shown_rows] == clicked_points[long_enough]]] = True
    return is_clicked


def _infer_impressions(
    unlisted: NDArray[np.int64],
    query_groups: NDArray[np.int32],
    clicks: Actions | ActionSelection,
    lengths: NDArray[np.int32],
    click_index: _ClickIndex,
) -> Iterator[_ImpressionRows]:
    is_unlisted = lengths[clicks.search] == 0
    if not is_unlisted.any():
        return
    query_group, point = query_groups[clicks.search[is_unlisted]], clicks.point[is_unlisted]
    pair_keys = sort_unique(_pair_keys(query_group, point))
    order = np.argsort(query_groups[unlisted], kind="stable")
    searches, search_groups = unlisted[order], query_groups[unlisted][order]
    starts, stops = (
        np.searchsorted(search_groups, pair_keys >> 32),
        np.searchsorted(search_groups, pair_keys >> 32, side="right"),
    )
    for start in range(0, len(pair_keys), 10_000):
        block = slice(start, start + 10_000)
        sizes = stops[block] - starts[block]
        offset = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        search = searches[np.repeat(starts[block], sizes) + offset].astype(np.int32)
        point_block = np.repeat(pair_keys[block] & 0xFFFFFFFF, sizes).astype(np.int32)
        search_point_keys = _pair_keys(search, point_block)
        key_rows = np.minimum(
            np.searchsorted(click_index.keys, search_point_keys), len(click_index.keys) - 1
        )
        is_clicked = click_index.keys[key_rows] == search_point_keys
        yield _ImpressionRows(
            search,
            point_block,
            np.zeros(len(search), np.int8),
            is_clicked,
            np.zeros_like(is_clicked),
        )


def _sum_impressions(
    impression_rows: _ImpressionRows,
    query_groups: NDArray[np.int32],
    decay_factors: NDArray[np.float64],
) -> Impressions:
    """The impressions, each (group, point, place) once."""
    factor = decay_factors[impression_rows.search]
    return _sum_by_key(
        (query_groups[impression_rows.search], impression_rows.point, impression_rows.rank),
        (factor, factor * impression_rows.clicked, factor * impression_rows.skipped),
    )


def _sum_by_key(
    keys: tuple[NDArray[np.integer], ...], values: tuple[NDArray[np.float64], ...]
) -> Impressions:
    order, is_new = order_rows(keys)
    run = np.cumsum(is_new) - 1
    first_rows = order[is_new]
    query_group, point, rank = (key[first_rows].astype(np.int64) for key in keys)
    shown, clicked, skipped = (
        np.asarray(np.bincount(run, weights=value[order], minlength=len(first_rows)), np.float64)
        for value in values
    )
    return Impressions(query_group, point, rank, shown, clicked, skipped)


def _merge_parts(parts: list[Impressions]) -> Impressions:
    if len(parts) == 1:
        return parts[0]
    empty: list[NDArray[Any]] = [np.zeros(0, np.int64)] * 3 + [np.zeros(0)] * 3
    part_columns = [
        empty,
        *([getattr(part, name) for name in Impressions.__slots__] for part in parts),
    ]
    columns = tuple(map(np.concatenate, zip(*part_columns, strict=True)))
    return _sum_by_key(columns[:3], columns[3:])
