"""One arm's list, merged from the collection's own list and an overlay."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeAlias, TypeVar

from nudge_sync.connector import PointId
from nudge_sync.experiment.overlay import Overlay, OverlayQuery, Scored

_Result = TypeVar("_Result")
Questions: TypeAlias = Generator[list[PointId], Collection[PointId], _Result]
"""A computation that yields ids which the collection's own list does not hold, and is sent those
of them that exist and pass the application's filter."""
_SPARE_IDS = 16
"""Points that are asked about beyond the k that are wanted: some may be refused."""
_MAX_ASKED = 1024
"""Points that are asked about for one search; a longer list is the better answer then."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What the collection itself answered, best first, with scores that grow with nearness."""

    ids: list[PointId]
    scores: list[float]
    is_complete: bool
    """Whether there is nothing beyond it: every other point is gone, or the filter refuses it."""

    @property
    def bound(self) -> float:
        """The highest score that a point which is not in the list may have."""
        return -inf if self.is_complete else min(self.scores, default=inf)


@dataclass(frozen=True, slots=True)
class Merged:
    """The list of an arm."""

    ids: list[PointId]
    scores: list[float]
    is_exact: bool
    """Whether no other point of the collection belongs there, `left_out` aside."""
    depth: int
    """How many results of the collection's own it needs; where it is not exact, how many to ask
    for next."""
    left_out: int = 0
    """Points of the overlay that would be in the list if somebody could ask about them."""


@dataclass(frozen=True, slots=True)
class _Moved:
    """The overlay's part of a list."""

    points: Scored
    is_settled: bool = True
    """Whether no further point of the overlay can be admitted."""
    left_out: int = 0


def merge_overlay(
    listed: Listed,
    overlay: Overlay,
    query: OverlayQuery,
    k: int,
    others: Literal["admit", "ask", "leave"] = "admit",
) -> Questions[Merged]:
    """Return the `k` best points of the collection with the overlay's vectors in place of its own.

    others: what becomes of points that the list does not hold. admit: they are in.  ask: it yields
    them, best first, a few at a time, and those that are sent back are in.  leave: they are out,
    and counted. A complete list holds whatever may be shown: then nothing is asked or added.
    Exact if k of its members score at least the list's bound: what the list left out scores no
    more. Of equal scores the list's own comes first, then the smaller id.
    """
    unmoved = [place for place, id_ in enumerate(listed.ids) if id_ not in overlay][:k]
    known = {id_ for id_ in listed.ids if id_ in overlay}
    floor = listed.scores[unmoved[-1]] if len(unmoved) == k else listed.bound
    if listed.is_complete:
        moved = _Moved(query.score(known))
    elif others == "leave":
        moved = _list_known(query, known, k, floor)
    elif others == "admit":
        moved = _Moved(query.find_best(k, floor))
    else:
        moved = yield from _ask_for_others(query, known, k, floor)
    entries = [(-listed.scores[place], 0, place, listed.ids[place]) for place in unmoved]
    scored = enumerate(zip(moved.points.ids, moved.points.scores, strict=True))
    entries += [(-score, 1, place, id_) for place, (id_, score) in scored]
    entries.sort(key=lambda entry: entry[:3])
    del entries[k:]
    scores = [-entry[0] for entry in entries]
    vouched = sum(score >= listed.bound for score in scores)
    is_exact = listed.is_complete or (vouched == k and moved.is_settled)
    last_place = max((place for _, source, place, _ in entries if source == 0), default=-1)
    needed = (
        _measure_depth(listed, scores, k, last_place)
        if is_exact
        else 2 * len(listed.ids) + k - vouched
    )
    return Merged([entry[3] for entry in entries], scores, is_exact, needed, moved.left_out)


def _list_known(query: OverlayQuery, known: set[PointId], k: int, floor: float) -> _Moved:
    best = query.find_best(k, floor).ids
    return _Moved(query.score(known), left_out=sum(id_ not in known for id_ in best))


def _ask_for_others(
    query: OverlayQuery, known: set[PointId], k: int, floor: float
) -> Questions[_Moved]:
    """Return the overlay's best points that the list holds or that are admitted."""
    admitted, asked, reach = set(known), set(known), k + _SPARE_IDS
    while True:
        found = query.find_best(reach, floor)
        questions = [id_ for id_ in found.ids if id_ not in asked]
        if questions:
            asked.update(questions)
            admitted.update((yield questions))
        kept = [place for place, id_ in enumerate(found.ids) if id_ in admitted][:k]
        points = Scored([found.ids[p] for p in kept], [found.scores[p] for p in kept])
        if len(kept) == k or len(found.ids) < reach:
            return _Moved(points)
        if reach >= _MAX_ASKED:
            return _Moved(points, is_settled=False)
        reach = min(4 * reach, _MAX_ASKED)


def _measure_depth(listed: Listed, scores: Sequence[float], k: int, last_place: int) -> int:
    """Return how many results it takes to ask for so that a merged list is exact.

    last_place: of the list's results that the merged one has.
    """
    if len(scores) < k or scores[-1] < min(listed.scores, default=inf):
        # One more than there are, which says that there are no more.
        return len(listed.ids) + 1
    better = bisect_left([-score for score in listed.scores], -scores[-1])
    return min(max(better, last_place) + 1, len(listed.ids))
