"""Small numbers for ids and names, in the order they are first met."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import PointId
from nudge_sync.feedback.log.sorting import changes
from nudge_sync.feedback.log.strings import Collected, Texts

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

_HUGE = 2**62
_SMALL = 2**24
"""Memory for so many is set aside, but taken only where ids are."""


class Numbered:
    """Whole numbers of any size, and the small number of each: 12 bytes each."""

    def __init__(self) -> None:
        self._known = np.zeros(0, np.int64)
        """Ascending."""
        self._numbers = np.zeros(0, np.int32)

    def __len__(self) -> int:
        return len(self._known)

    def of(self, codes: Int64) -> tuple[Int32, Int64]:
        """(n,): the number of each code; and for each number that is new, in their order, a row
        that has it.
        """
        order = np.argsort(codes)
        ranked = codes[order]
        first = changes(ranked)
        different = ranked[first]
        numbers, at = self._found(different)
        new = numbers < 0
        numbers[new] = np.arange(len(self), len(self) + int(new.sum()), dtype=np.int32)
        self._known = np.insert(self._known, at[new], different[new])
        self._numbers = np.insert(self._numbers, at[new], numbers[new])
        found = np.empty(len(codes), np.int32)
        found[order] = numbers[np.cumsum(first) - 1]
        return found, order[first][new]

    def known(self, codes: Int64) -> Int32:
        """(n,): the number of each code, or -1 where it has none."""
        return self._found(codes)[0]

    def codes(self) -> Int64:
        """The code of each number."""
        found = np.empty(len(self), np.int64)
        found[self._numbers] = self._known
        return found

    def _found(self, codes: Int64) -> tuple[Int32, Int64]:
        """Numbers, or -1, and where each code stands or belongs."""
        if not len(self):
            return np.full(len(codes), -1, np.int32), np.zeros(len(codes), np.int64)
        at = np.searchsorted(self._known, codes)
        near = np.minimum(at, len(self) - 1)
        hit = self._known[near] == codes
        return np.where(hit, self._numbers[near], np.int32(-1)), at


class Names:
    """Names, known by 64 bits each: of ten million, two coincide by chance in one log of 400,000.

    Python draws the key of these bits anew in each process, so that nobody can make names that
    coincide. What comes of a log depends on them in no other way.
    """

    def __init__(self) -> None:
        self._numbered = Numbered()
        self._texts = Collected()

    def of(self, names: Sequence[str]) -> Int32:
        """The numbers of `names`, new ones where needed."""
        numbers, new = self._numbered.of(bits(names))
        self._texts.add([names[row] for row in new.tolist()])
        return numbers

    def ordered(self) -> tuple[Texts, Int32]:
        """The names, sorted, and for each number its place among them; takes them out of here."""
        self._numbered = Numbered()
        texts, order = self._texts.all().ordered()
        return texts, places(order)


def bits(names: Sequence[str]) -> Int64:
    """(n,): 64 bits that stand for each name in this process."""
    return np.fromiter(map(hash, names), np.int64, len(names))


class Points:
    """Point ids: small whole numbers stand for themselves, all others are numbered."""

    def __init__(self) -> None:
        self._seen = np.zeros(_SMALL, np.bool_)
        self._numbered = Numbered()
        self._others: dict[PointId, int] = {}

    def of(self, ids: Iterable[PointId]) -> Int32:
        """The numbers of `ids`, new ones where needed."""
        codes = self._codes(list(ids))
        small = (codes >= 0) & (codes < _SMALL)
        if small.all():
            self._seen[codes] = True
            return codes.astype(np.int32)
        numbers = np.empty(len(codes), np.int32)
        numbers[small] = codes[small]
        self._seen[codes[small]] = True
        numbers[~small] = self._numbered.of(codes[~small])[0] + np.int32(_SMALL)
        return numbers

    def ordered(self) -> tuple[list[PointId], Int32]:
        """The ids sorted by their text, and for each number its place among them."""
        others = list(self._others)
        small = np.flatnonzero(self._seen)
        large = self._numbered.codes().tolist()
        ids = [*small.tolist(), *(code if code >= 0 else others[-1 - code] for code in large)]
        numbers = np.concatenate([small, np.arange(len(large)) + _SMALL])
        order = sorted(range(len(ids)), key=lambda row: (str(ids[row]), isinstance(ids[row], str)))
        found = np.empty(_SMALL + len(large), np.int32)
        found[numbers[order]] = np.arange(len(order), dtype=np.int32)
        return [ids[row] for row in order], found

    def _codes(self, ids: Sequence[PointId]) -> Int64:
        try:
            codes = np.frombuffer(array("q", ids), np.int64)  # type: ignore[type-var]
        except (TypeError, OverflowError):
            return self._one_by_one(ids)
        usual = not len(codes) or (codes.min() >= 0 and codes.max() < _HUGE)
        return codes if usual else self._one_by_one(ids)

    def _one_by_one(self, ids: Sequence[PointId]) -> Int64:
        return np.array([self._code(id_) for id_ in ids], np.int64)

    def _code(self, id_: PointId) -> int:
        """The id itself, or below 0 its number among those that are no usual integers."""
        if isinstance(id_, int) and 0 <= id_ < _HUGE:
            return id_
        return -1 - self._others.setdefault(id_, len(self._others))


def places(order: Int64) -> Int32:
    """(n,): where each row stands in an order of all rows."""
    found = np.empty(len(order), np.int32)
    found[order] = np.arange(len(order), dtype=np.int32)
    return found
