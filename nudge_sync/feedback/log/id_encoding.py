"""Small numbers for ids and names, in the order they are first met."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np

from nudge_sync.base.arrays import Int32, Int64
from nudge_sync.connector import PointId
from nudge_sync.feedback.log.sorting import mark_changes
from nudge_sync.feedback.log.strings import PackedStrings, PackedStringsBuilder

_PLAIN_CODE_LIMIT = 2**62
_DIRECT_ID_LIMIT = 2**24
"""Memory for so many is set aside, but taken only where ids are."""


class IntegerInterner:
    """Whole numbers of any size, and the small number of each: 12 bytes each."""

    def __init__(self) -> None:
        self._sorted_codes = np.zeros(0, np.int64)
        """Ascending."""
        self._numbers = np.zeros(0, np.int32)

    def __len__(self) -> int:
        return len(self._sorted_codes)

    def encode(self, codes: Int64) -> tuple[Int32, Int64]:
        """(n,): the number of each code; and for each number that is new, in their order, a row
        that has it.
        """
        order = np.argsort(codes)
        sorted_codes = codes[order]
        is_first = mark_changes(sorted_codes)
        distinct_codes = sorted_codes[is_first]
        numbers, positions = self._locate(distinct_codes)
        new = numbers < 0
        numbers[new] = np.arange(len(self), len(self) + int(new.sum()), dtype=np.int32)
        self._sorted_codes = np.insert(self._sorted_codes, positions[new], distinct_codes[new])
        self._numbers = np.insert(self._numbers, positions[new], numbers[new])
        result = np.empty(len(codes), np.int32)
        result[order] = numbers[np.cumsum(is_first) - 1]
        return result, order[is_first][new]

    def look_up(self, codes: Int64) -> Int32:
        """(n,): the number of each code, or -1 where it has none."""
        return self._locate(codes)[0]

    def codes(self) -> Int64:
        """The code of each number."""
        result = np.empty(len(self), np.int64)
        result[self._numbers] = self._sorted_codes
        return result

    def _locate(self, codes: Int64) -> tuple[Int32, Int64]:
        """Numbers, or -1, and where each code stands or belongs."""
        if not len(self):
            return np.full(len(codes), -1, np.int32), np.zeros(len(codes), np.int64)
        insertion_points = np.searchsorted(self._sorted_codes, codes)
        nearest = np.minimum(insertion_points, len(self) - 1)
        hit = self._sorted_codes[nearest] == codes
        return np.where(hit, self._numbers[nearest], np.int32(-1)), insertion_points


class StringInterner:
    """Names, known by 64 bits each: of ten million, two coincide by chance in one log of 400,000.

    Python draws the key of these bits anew in each process, so that nobody can make names that
    coincide. What comes of a log depends on them in no other way.
    """

    def __init__(self) -> None:
        self._interner = IntegerInterner()
        self._strings_builder = PackedStringsBuilder()

    def encode(self, strings: Sequence[str]) -> Int32:
        """The numbers of `names`, new ones where needed."""
        numbers, new = self._interner.encode(hash_strings(strings))
        self._strings_builder.add([strings[row] for row in new.tolist()])
        return numbers

    def take_sorted(self) -> tuple[PackedStrings, Int32]:
        """The names, sorted, and for each number its place among them; takes them out of here."""
        self._interner = IntegerInterner()
        packed, order = self._strings_builder.build().sort()
        return packed, inverse_permutation(order)


def hash_strings(strings: Sequence[str]) -> Int64:
    """(n,): 64 bits that stand for each name in this process."""
    return np.fromiter(map(hash, strings), np.int64, len(strings))


class IdEncoder:
    """Point ids: small whole numbers stand for themselves, all others are numbered."""

    def __init__(self) -> None:
        self._is_used = np.zeros(_DIRECT_ID_LIMIT, np.bool_)
        self._interner = IntegerInterner()
        self._other_ids: dict[PointId, int] = {}

    def encode(self, ids: Iterable[PointId]) -> Int32:
        """The numbers of `ids`, new ones where needed."""
        codes = self._to_codes(list(ids))
        is_direct = (codes >= 0) & (codes < _DIRECT_ID_LIMIT)
        if is_direct.all():
            self._is_used[codes] = True
            return codes.astype(np.int32)
        numbers = np.empty(len(codes), np.int32)
        numbers[is_direct] = codes[is_direct]
        self._is_used[codes[is_direct]] = True
        numbers[~is_direct] = self._interner.encode(codes[~is_direct])[0] + np.int32(
            _DIRECT_ID_LIMIT
        )
        return numbers

    def sort(self) -> tuple[list[PointId], Int32]:
        """The ids sorted by their text, and for each number its place among them."""
        others = list(self._other_ids)
        direct = np.flatnonzero(self._is_used)
        interned_codes = self._interner.codes().tolist()
        ids = [
            *direct.tolist(),
            *(code if code >= 0 else others[-1 - code] for code in interned_codes),
        ]
        numbers = np.concatenate([direct, np.arange(len(interned_codes)) + _DIRECT_ID_LIMIT])
        order = sorted(range(len(ids)), key=lambda row: (str(ids[row]), isinstance(ids[row], str)))
        rows = np.empty(_DIRECT_ID_LIMIT + len(interned_codes), np.int32)
        rows[numbers[order]] = np.arange(len(order), dtype=np.int32)
        return [ids[row] for row in order], rows

    def _to_codes(self, ids: Sequence[PointId]) -> Int64:
        try:
            codes = np.frombuffer(array("q", ids), np.int64)  # type: ignore[type-var]
        except (TypeError, OverflowError):
            return self._to_codes_singly(ids)
        usual = not len(codes) or (codes.min() >= 0 and codes.max() < _PLAIN_CODE_LIMIT)
        return codes if usual else self._to_codes_singly(ids)

    def _to_codes_singly(self, ids: Sequence[PointId]) -> Int64:
        return np.array([self._to_code(id_) for id_ in ids], np.int64)

    def _to_code(self, id_: PointId) -> int:
        """The id itself, or below 0 its number among those that are no usual integers."""
        if isinstance(id_, int) and 0 <= id_ < _PLAIN_CODE_LIMIT:
            return id_
        return -1 - self._other_ids.setdefault(id_, len(self._other_ids))


def inverse_permutation(order: Int64) -> Int32:
    """(n,): where each row stands in an order of all rows."""
    inverse = np.empty(len(order), np.int32)
    inverse[order] = np.arange(len(order), dtype=np.int32)
    return inverse
