"""What was shown where, and what of it was clicked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.columns import Actions, Searches, different

DEEPEST = 100
"""Places further down count as this one."""
_Showing: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]
"""Search, point and place, one row an impression."""
_CHUNK = 4_000_000
"""Impressions at a time."""


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


def positions(searches: Searches, clicks: Actions) -> NDArray[np.int32]:
    """The place of each click in its search's list; its own word where nothing was listed (0 if
    it has none), and -1 where it was not among what was listed.
    """
    lengths = np.diff(searches.starts)[clicks.search]
    place = np.where(lengths > 0, -1, np.minimum(clicks.position, DEEPEST)).astype(np.int32)
    for step in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero((place == -1) & (lengths > step))
        at = searches.starts[clicks.search[rows]] + step
        hit = searches.shown[at] == clicks.point[rows]
        place[rows[hit]] = min(step + 1, DEEPEST)
    return place


def collected(
    searches: Searches,
    groups: NDArray[np.int32],
    clicks: Actions,
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
    lengths = np.diff(searches.starts)
    listed, bare = rows[lengths[rows] > 0], rows[lengths[rows] == 0]
    clicked = different(_keys(clicks.search, clicks.point))
    parts = [
        _tallied(showing, groups, clicked, worth)
        for showing in (
            *_listed(searches, listed, lengths),
            *_inferred(bare, groups, clicks, lengths),
        )
    ]
    return _united(parts)


def _keys(search: NDArray[np.int32], point: NDArray[np.int32]) -> NDArray[np.int64]:
    return search.astype(np.int64) << 32 | point.astype(np.int64)


def _listed(
    searches: Searches, rows: NDArray[np.int64], lengths: NDArray[np.int64]
) -> Iterator[_Showing]:
    ends = np.cumsum(lengths[rows])
    start = 0
    while start < len(rows):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _CHUNK)))
        some = rows[start:stop]
        sizes = lengths[some]
        first = np.cumsum(sizes) - sizes
        offset = np.arange(int(sizes.sum())) - np.repeat(first, sizes)
        at = np.repeat(searches.starts[:-1][some], sizes) + offset
        search = np.repeat(some, sizes).astype(np.int32)
        yield search, searches.shown[at], np.minimum(offset + 1, DEEPEST)
        start = stop


def _inferred(
    bare: NDArray[np.int64],
    groups: NDArray[np.int32],
    clicks: Actions,
    lengths: NDArray[np.int64],
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
        yield search, shown, np.zeros(len(search), np.int64)


def _tallied(
    showing: _Showing,
    groups: NDArray[np.int32],
    clicked: NDArray[np.int64],
    worth: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Keys of (group, point, place), ascending, and the three sums of each: (k, 3)."""
    search, point, place = showing
    keys = _keys(search, point)
    at = np.minimum(np.searchsorted(clicked, keys), max(len(clicked) - 1, 0))
    hit = clicked[at] == keys
    lowest = np.zeros(len(groups), np.int64)
    np.maximum.at(lowest, search[hit], place[hit])
    passed = ~hit & (place < lowest[search])
    pair = _pair(groups[search], point)
    return _summed(pair * (DEEPEST + 1) + place, worth[search][:, None] * _columns(hit, passed))


def _pair(group: NDArray[np.int32], point: NDArray[np.int32]) -> NDArray[np.int64]:
    # 28 bits a group and 28 a point leave room for the place.
    return group.astype(np.int64) << 28 | point.astype(np.int64)


def _columns(hit: NDArray[np.bool_], passed: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.stack([np.ones(len(hit)), hit, passed], axis=1)


def _summed(
    keys: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    different, at = np.unique(keys, return_inverse=True)
    sums = [np.bincount(at, weights=values[:, k], minlength=len(different)) for k in range(3)]
    return different, np.stack(sums, axis=1)


def _united(parts: list[tuple[NDArray[np.int64], NDArray[np.float64]]]) -> Impressions:
    if not parts:
        parts = [(np.zeros(0, np.int64), np.zeros((0, 3)))]
    keys, sums = _summed(
        np.concatenate([keys for keys, _ in parts]), np.concatenate([sums for _, sums in parts])
    )
    pair, place = keys // (DEEPEST + 1), keys % (DEEPEST + 1)
    return Impressions(
        group=pair >> 28,
        point=pair & (2**28 - 1),
        position=place,
        shown=sums[:, 0],
        clicked=sums[:, 1],
        passed=sums[:, 2],
    )
