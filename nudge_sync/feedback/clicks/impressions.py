"""What was shown where, and what of it was clicked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.threads import spread
from nudge_sync.feedback.log.columns import Actions, Chosen, Searches
from nudge_sync.feedback.log.sorting import different, ordered

DEEPEST = 100
"""Places further down count as this one."""
_CHUNK = 1_000_000
"""Impressions at a time. Each such part is summed for itself, and then all parts, so that other
parts would have other last bits."""
_CLICKS = 1_000_000
"""Likewise clicks, which are only looked up."""


@dataclass(frozen=True, slots=True)
class Impressions:
    """One row for each (group of queries, point, position), sorted by these."""

    group: NDArray[np.int64]
    point: NDArray[np.int64]
    position: NDArray[np.int64]
    shown: NDArray[np.float64]
    """How often, old times counting less."""
    clicked: NDArray[np.float64]
    passed: NDArray[np.float64]
    """How often not clicked although something further down was."""

    def __len__(self) -> int:
        return len(self.group)

    def only(self, keep: NDArray[np.bool_]) -> Impressions:
        """The rows of a mask."""
        return Impressions(*(getattr(self, name)[keep] for name in self.__slots__))


def positions(searches: Searches, clicks: Actions | Chosen) -> NDArray[np.int32]:
    """The place of each click in its search's list; its own word where nothing was listed (0 if
    it has none), and -1 where it was not among what was listed.
    """
    place = np.empty(len(clicks), np.int32)
    search, point, said = clicks.search, clicks.point, clicks.position
    for start in range(0, len(clicks), _CLICKS):
        some = slice(start, start + _CLICKS)
        place[some] = _places(searches, search[some], point[some], said[some])
    return place


def _places(
    searches: Searches,
    search: NDArray[np.int32],
    point: NDArray[np.int32],
    said: NDArray[np.int32],
) -> NDArray[np.int32]:
    starts = searches.starts[search]
    lengths = searches.starts[search + 1] - starts
    place = np.where(lengths > 0, -1, np.minimum(said, DEEPEST)).astype(np.int32)
    for step in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero((place == -1) & (lengths > step))
        hit = searches.shown[starts[rows] + step] == point[rows]
        place[rows[hit]] = min(step + 1, DEEPEST)
    return place


def collected(
    searches: Searches,
    groups: NDArray[np.int32],
    clicks: Actions | Chosen,
    worth: NDArray[np.float64],
) -> Impressions:
    """Every impression of the groups that have a click.

    groups: (s,), -1 for searches that do not count. worth: (s,). A search that logged no list is
    taken to have shown every point that was clicked on any such search of its group, at place 0.
    """
    wanted = np.zeros(int(groups.max(initial=-1)) + 2, np.bool_)
    wanted[groups[clicks.search]] = True
    wanted[-1] = False
    rows = np.flatnonzero(wanted[groups])
    lengths = np.diff(searches.starts).astype(np.int32)
    listed, bare = rows[lengths[rows] > 0], rows[lengths[rows] == 0]
    # Group by group, so that the same group, point and place is in few parts.
    listed = listed[np.argsort(groups[listed], kind="stable")]
    clicked = _Clicked.of(clicks, len(groups))
    parts = [
        *spread(
            lambda some: _tallied(_of_lists(searches, some, lengths[some], clicked), groups, worth),
            _chunks(listed, lengths),
        ),
        *(
            _tallied(showing, groups, worth)
            for showing in _inferred(bare, groups, clicks, lengths, clicked)
        ),
    ]
    return _united(parts)


@dataclass(frozen=True, slots=True)
class _Clicked:
    """What was clicked in each search."""

    keys: NDArray[np.int64]
    """Search in the upper bits, point in the lower; each once, ascending."""
    starts: NDArray[np.int64]
    """(s + 1,): where each search's keys begin."""

    @staticmethod
    def of(clicks: Actions | Chosen, searches: int) -> _Clicked:
        keys = different(_keys(clicks.search, clicks.point))
        many = np.bincount(keys >> 32, minlength=searches)
        return _Clicked(keys, np.concatenate([[0], np.cumsum(many)]))

    def points(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The points clicked in these searches, and before them the place in `rows` of each."""
        begins = self.starts[rows]
        sizes = self.starts[rows + 1] - begins
        of = np.repeat(np.arange(len(rows)), sizes)
        at = np.arange(len(of)) + np.repeat(begins - np.cumsum(sizes) + sizes, sizes)
        return of, (self.keys[at] & 0xFFFFFFFF).astype(np.int32)


@dataclass(frozen=True, slots=True)
class _Showing:
    """One row an impression."""

    search: NDArray[np.int32]
    point: NDArray[np.int32]
    place: NDArray[np.int8]
    hit: NDArray[np.bool_]
    """Clicked."""
    passed: NDArray[np.bool_]
    """Not clicked although something further down was."""


def _keys(search: NDArray[np.int32], point: NDArray[np.int32]) -> NDArray[np.int64]:
    keys = search.astype(np.int64)
    keys <<= 32
    keys |= point
    return keys


def _chunks(rows: NDArray[np.int64], lengths: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """The searches in parts that show about `_CHUNK` points each."""
    ends = np.cumsum(lengths[rows], dtype=np.int64)
    parts, start = [], 0
    while start < len(rows):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _CHUNK)))
        parts.append(rows[start:stop])
        start = stop
    return parts


def _of_lists(
    searches: Searches,
    rows: NDArray[np.int64],
    sizes: NDArray[np.int32],
    clicked: _Clicked,
) -> _Showing:
    begins = np.cumsum(sizes, dtype=np.int64) - sizes
    offset = np.arange(int(sizes.sum())) - np.repeat(begins, sizes)
    place = np.minimum(offset + 1, DEEPEST).astype(np.int8)
    offset += np.repeat(searches.starts[:-1][rows], sizes)
    point = searches.shown[offset]
    del offset
    hit = _hits(rows, point, begins, sizes, clicked)
    lowest = np.zeros(len(rows), np.int8)
    # Of a list's clicks the last one is assigned last.
    at = np.flatnonzero(hit)
    lowest[np.searchsorted(begins, at, side="right") - 1] = place[at]
    passed = ~hit & (place < np.repeat(lowest, sizes))
    return _Showing(np.repeat(rows, sizes).astype(np.int32), point, place, hit, passed)


def _hits(
    rows: NDArray[np.int64],
    point: NDArray[np.int32],
    begins: NDArray[np.int64],
    sizes: NDArray[np.int32],
    clicked: _Clicked,
) -> NDArray[np.bool_]:
    """Which of the lists' points were clicked, all of a list where it has the point twice."""
    of, wanted = clicked.points(rows)
    hit = np.zeros(len(point), np.bool_)
    for step in range(int(sizes[of].max(initial=0))):
        deep = np.flatnonzero(sizes[of] > step)
        at = begins[of[deep]] + step
        hit[at[point[at] == wanted[deep]]] = True
    return hit


def _inferred(
    bare: NDArray[np.int64],
    groups: NDArray[np.int32],
    clicks: Actions | Chosen,
    lengths: NDArray[np.int32],
    clicked: _Clicked,
) -> Iterator[_Showing]:
    of_bare = lengths[clicks.search] == 0
    if not of_bare.any():
        return
    group, point = groups[clicks.search[of_bare]], clicks.point[of_bare]
    keys = different(_keys(group, point))
    order = np.argsort(groups[bare], kind="stable")
    searches, of = bare[order], groups[bare][order]
    low, high = np.searchsorted(of, keys >> 32), np.searchsorted(of, keys >> 32, side="right")
    for start in range(0, len(keys), 10_000):
        some = slice(start, start + 10_000)
        sizes = high[some] - low[some]
        offset = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        search = searches[np.repeat(low[some], sizes) + offset].astype(np.int32)
        shown = np.repeat(keys[some] & 0xFFFFFFFF, sizes).astype(np.int32)
        keys_of = _keys(search, shown)
        at = np.minimum(np.searchsorted(clicked.keys, keys_of), len(clicked.keys) - 1)
        hit = clicked.keys[at] == keys_of
        yield _Showing(search, shown, np.zeros(len(search), np.int8), hit, np.zeros_like(hit))


def _tallied(
    showing: _Showing, groups: NDArray[np.int32], worth: NDArray[np.float64]
) -> Impressions:
    """The impressions, each (group, point, place) once."""
    weight = worth[showing.search]
    return _summed(
        (groups[showing.search], showing.point, showing.place),
        (weight, weight * showing.hit, weight * showing.passed),
    )


def _summed(
    keys: tuple[NDArray[np.integer], ...], values: tuple[NDArray[np.float64], ...]
) -> Impressions:
    order, fresh = ordered(keys)
    at = np.cumsum(fresh) - 1
    first = order[fresh]
    group, point, position = (key[first].astype(np.int64) for key in keys)
    shown, clicked, passed = (
        np.asarray(np.bincount(at, weights=value[order], minlength=len(first)), np.float64)
        for value in values
    )
    return Impressions(group, point, position, shown, clicked, passed)


def _united(parts: list[Impressions]) -> Impressions:
    if len(parts) == 1:
        return parts[0]
    none: list[NDArray[Any]] = [np.zeros(0, np.int64)] * 3 + [np.zeros(0)] * 3
    every = [none, *([getattr(one, name) for name in Impressions.__slots__] for one in parts)]
    columns = tuple(map(np.concatenate, zip(*every, strict=True)))
    return _summed(columns[:3], columns[3:])
