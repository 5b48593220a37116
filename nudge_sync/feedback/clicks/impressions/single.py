"""Single impressions: what each search showed, at which rank, and whether it was clicked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base import spooled
from nudge_sync.base.arrays import Int32, Int64, pair_key
from nudge_sync.base.partitions import Partitions, count_partitions
from nudge_sync.base.spooled import release_pages
from nudge_sync.feedback.log.columns import Actions, ActionSelection, Searches
from nudge_sync.feedback.log.sorting import sort_unique

MAX_RANK = 100
"""Lower ranks count as this one."""
LEAST_DISTANCES = (1, 2, 3, 5, 9, 17)
"""The least distance, in ranks, from a result to the last click above it, of each class from 1 on;
in class 0 nothing above was clicked."""
DISTANCE_CLASS_COUNT = len(LEAST_DISTANCES) + 1
_CHUNK_CLICKS = 1_000_000
"""Clicks of which the ranks are looked up at a time; the size changes no bit of the result."""
_CHUNK_INFERRED_PAIRS = 10_000
"""Pairs of which the impressions without a list are made up at a time."""


@dataclass(frozen=True, slots=True)
class ImpressionRows:
    """One row for each single impression: a point shown in a search."""

    search: Int32
    point: Int32
    rank: NDArray[np.int8]
    distance_class: NDArray[np.int8]
    """How far above the last click of the same search is: see `LEAST_DISTANCES`."""
    clicked: NDArray[np.bool_]
    skipped: NDArray[np.bool_]
    """Not clicked although a lower rank of the same list was."""

    @staticmethod
    def list_dtypes() -> list[type[np.generic]]:
        """Return the types of the columns, in their order."""
        return [np.int32, np.int32, np.int8, np.int8, np.bool_, np.bool_]


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


@dataclass(frozen=True, slots=True)
class PartedImpressions:
    """The impressions of every query group that has a click, in partitions by query group; within
    one in the order of their searches.
    """

    listed: Partitions
    """What stood in lists: the columns of `ImpressionRows`."""
    unlisted: Partitions
    """Searches that logged no list."""
    unlisted_clicks: Partitions
    """Clicks on these: search and point."""

    def __len__(self) -> int:
        return len(self.listed)

    def read_listed(self, partition: int) -> Iterator[ImpressionRows]:
        """Yield the impressions of lists in parts."""
        for columns in self.listed.read_parts(partition):
            yield ImpressionRows(*columns)

    def infer_unlisted(self, partition: int, query_groups: Int32) -> Iterator[ImpressionRows]:
        """Yield impressions at rank 0: a search that logged no list is taken to have shown every
        point that was clicked on any search of its group that logged none.

        query_groups: (s,). All impressions of a group and a point are in one part.
        """
        [searches] = self.unlisted.read(partition)
        click_search, click_point = self.unlisted_clicks.read(partition)
        click_keys = sort_unique(pair_key(click_search, click_point))
        pair_keys = sort_unique(pair_key(query_groups[click_search], click_point))
        searches = searches[np.argsort(query_groups[searches], kind="stable")]
        starts, stops = (
            np.searchsorted(query_groups[searches], pair_keys >> 32, side=side)
            for side in ("left", "right")
        )
        for first in range(0, len(pair_keys), _CHUNK_INFERRED_PAIRS):
            block = slice(first, first + _CHUNK_INFERRED_PAIRS)
            sizes = stops[block] - starts[block]
            offset = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            search = searches[np.repeat(starts[block], sizes) + offset]
            point = np.repeat(pair_keys[block] & 0xFFFFFFFF, sizes).astype(np.int32)
            keys = pair_key(search, point)
            key_rows = np.minimum(np.searchsorted(click_keys, keys), len(click_keys) - 1)
            is_clicked = click_keys[key_rows] == keys
            nothing = np.zeros(len(search), np.int8)
            yield ImpressionRows(
                search, point, nothing, nothing, is_clicked, np.zeros_like(is_clicked)
            )


def part_impressions(
    searches: Searches, query_groups: Int32, clicks: ActionSelection
) -> PartedImpressions:
    """Return the impressions of every query group that has a click.

    query_groups: (s,), -1 for searches that do not count.
    """
    partition_of_group = _assign_partitions(searches.shown_starts, query_groups, clicks)
    count = int(partition_of_group.max()) + 1
    parted = PartedImpressions(
        Partitions(count, ImpressionRows.list_dtypes()),
        Partitions(count, [np.int32]),
        Partitions(count, [np.int32, np.int32]),
    )
    for part in _split_searches(searches.shown_starts):
        sizes = np.diff(searches.shown_starts[part.start : part.stop + 1])
        partition = partition_of_group[query_groups[part]]
        part_clicks = clicks.select_searches(part.start, part.stop)
        search, point = part_clicks.search - np.int32(part.start), part_clicks.point
        listed = np.flatnonzero((sizes > 0) & (partition >= 0))
        rows = _expand_lists(searches, part, listed, _ClickIndex.build(search, point, len(sizes)))
        columns = (getattr(rows, name) for name in rows.__slots__)
        parted.listed.add(np.repeat(partition[listed], sizes[listed]), *columns)
        unlisted = np.flatnonzero((sizes == 0) & (partition >= 0))
        parted.unlisted.add(partition[unlisted], (part.start + unlisted).astype(np.int32))
        on_unlisted = (sizes[search] == 0) & (partition[search] >= 0)
        search, point = search[on_unlisted], point[on_unlisted]
        parted.unlisted_clicks.add(partition[search], search + np.int32(part.start), point)
    return parted


def _assign_partitions(shown_starts: Int64, query_groups: Int32, clicks: ActionSelection) -> Int32:
    """Return the partition of each query group, (groups + 1,), -1 where it has no click.

    The last element answers for group -1. Groups that come later are in the same partition or a
    later one.
    """
    has_click = np.zeros(int(query_groups.max(initial=-1)) + 2, np.bool_)
    for part in clicks.split():
        has_click[query_groups[part.search]] = True
    has_click[-1] = False
    counts = np.zeros(len(has_click), np.int64)
    for chunk in _split_searches(shown_starts):
        sizes = np.maximum(np.diff(shown_starts[chunk.start : chunk.stop + 1]), 1)
        # Of group -1 at the first place, since bincount takes no negative numbers.
        counted = np.bincount(query_groups[chunk] + 1, weights=sizes, minlength=len(counts))
        counts += np.roll(counted, -1).astype(np.int64)
    counts[~has_click] = 0
    rows_before = np.cumsum(counts) - counts
    rows_each = max(1, -(-int(counts.sum()) // count_partitions(int(counts.sum()))))
    return np.where(has_click, rows_before // rows_each, -1).astype(np.int32)


def _split_searches(shown_starts: Int64) -> Iterator[slice]:
    """Yield slices of the searches, each of which showed about `ROWS_PER_PART` points at most."""
    count, start = len(shown_starts) - 1, 0
    while start < count:
        limit = int(shown_starts[start]) + spooled.ROWS_PER_PART
        stop = int(np.searchsorted(shown_starts, limit, side="right")) - 1
        stop = min(max(stop, start + 1), start + spooled.ROWS_PER_PART, count)
        yield slice(start, stop)
        release_pages()
        start = stop


@dataclass(frozen=True, slots=True)
class _ClickIndex:
    """The points that were clicked in each of some searches."""

    keys: Int64
    """`pair_key(search, point)`, each once, ascending."""
    starts: Int64
    """(s + 1,): where each search's keys begin."""

    @staticmethod
    def build(search: Int32, point: Int32, search_count: int) -> _ClickIndex:
        keys = sort_unique(pair_key(search, point))
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


def _expand_lists(
    searches: Searches, part: slice, rows: Int64, click_index: _ClickIndex
) -> ImpressionRows:
    """Return the impressions of the lists of some searches, by their rows in a part."""
    starts = searches.shown_starts[part.start : part.stop + 1]
    sizes = np.diff(starts)[rows]
    begins = np.cumsum(sizes) - sizes
    offset = np.arange(int(sizes.sum())) - np.repeat(begins, sizes)
    rank = np.minimum(offset + 1, MAX_RANK).astype(np.int8)
    offset += np.repeat(starts[:-1][rows], sizes)
    point = searches.shown[offset]
    del offset
    is_clicked = _find_clicked_rows(rows, point, begins, sizes, click_index)
    last_clicked_rank = np.zeros(len(rows), np.int8)
    # Where a list has several clicks, the assignment of the lowest rank comes last and stays.
    clicked_rows = np.flatnonzero(is_clicked)
    last_clicked_rank[np.searchsorted(begins, clicked_rows, side="right") - 1] = rank[clicked_rows]
    skipped = ~is_clicked & (rank < np.repeat(last_clicked_rank, sizes))
    search = np.repeat((part.start + rows).astype(np.int32), sizes)
    distance_class = _classify_distances(is_clicked, np.repeat(begins, sizes))
    return ImpressionRows(search, point, rank, distance_class, is_clicked, skipped)


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
    sizes: Int64,
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
