"""Encoders that give ids and names small numbers, in the order they are first met."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from nudge_sync.base.arrays import Int32, Int64
from nudge_sync.base.chunks import list_chunks
from nudge_sync.connector import PointId
from nudge_sync.feedback.log.sorting import mark_changes
from nudge_sync.feedback.log.strings import PackedStrings, PackedStringsBuilder, Strings
from nudge_sync.feedback.schema.point_ids import sort_ids

_PLAIN_CODE_LIMIT = 2**62
_DIRECT_ID_LIMIT = 2**24
"""Integer ids below this stand for themselves. The operating system gives the memory for so many
only where ids are used."""

_MAX_NEW_CODES, _NEW_SHARE = 2**18, 8
"""New codes join the old ones once they are more than this, and than this part of the old ones."""
_INSERTED_AT_A_TIME = 2**16


class IntegerInterner:
    """A mapping of int64 codes to small numbers, at 12 bytes a code."""

    def __init__(self) -> None:
        self._old = _SortedCodes()
        self._new = _SortedCodes()
        """Those that came last, so that the many old ones are seldom moved."""

    def __len__(self) -> int:
        return len(self._old.codes) + len(self._new.codes)

    def encode(self, codes: Int64) -> tuple[Int32, Int64]:
        """Return the number of each code, (n,); and for each new number, in ascending order, a row
        that has it.
        """
        order = np.argsort(codes)
        sorted_codes = codes[order]
        is_first = mark_changes(sorted_codes)
        distinct_codes = sorted_codes[is_first]
        numbers = self._look_up_ascending(distinct_codes)
        is_new = numbers < 0
        new_count = int(np.count_nonzero(is_new))
        numbers[is_new] = np.arange(len(self), len(self) + new_count, dtype=np.int32)
        self._new.insert(distinct_codes[is_new], numbers[is_new])
        if len(self._new.codes) > max(_MAX_NEW_CODES, len(self._old.codes) // _NEW_SHARE):
            self._old.insert(self._new.codes, self._new.numbers)
            self._new = _SortedCodes()
        result = np.empty(len(codes), np.int32)
        result[order] = numbers[np.cumsum(is_first) - 1]
        return result, order[is_first][is_new]

    def look_up(self, codes: Int64) -> Int32:
        """Return the number of each code, (n,), or -1 where it has none."""
        # In ascending order they are found several times faster among millions.
        order = np.argsort(codes)
        result = np.empty(len(codes), np.int32)
        result[order] = self._look_up_ascending(codes[order])
        return result

    def codes(self) -> Int64:
        """Return the code of each number, in ascending order of the numbers."""
        result = np.empty(len(self), np.int64)
        for part in (self._old, self._new):
            result[part.numbers] = part.codes
        return result

    def _look_up_ascending(self, codes: Int64) -> Int32:
        return np.maximum(self._old.look_up(codes), self._new.look_up(codes))


class _SortedCodes:
    """Codes, ascending, with the number of each."""

    def __init__(self) -> None:
        self.codes = np.zeros(0, np.int64)
        self.numbers = np.zeros(0, np.int32)

    def look_up(self, codes: Int64) -> Int32:
        """Return the number of each code, (n,), or -1."""
        if not len(self.codes):
            return np.full(len(codes), -1, np.int32)
        nearest = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where(self.codes[nearest] == codes, self.numbers[nearest], np.int32(-1))

    def insert(self, codes: Int64, numbers: Int32) -> None:
        """Insert others, ascending, (n,), and their numbers, (n,)."""
        places = np.append(np.searchsorted(self.codes, codes), len(self.codes))
        for column, values in ((self.codes, codes), (self.numbers, numbers)):
            # In place and from the end on, as two of such columns may be more than memory has.
            column.resize(len(column) + len(values), refcheck=False)
            for chunk in reversed(list_chunks(len(values), _INSERTED_AT_A_TIME)):
                low, high = places[chunk.start], places[chunk.stop]
                column[low + chunk.start : high + chunk.stop] = np.insert(
                    column[low:high], places[chunk] - low, values[chunk]
                )


class StringInterner:
    """A mapping of names to small numbers, by a hash of 64 bits each.

    Two of ten million names collide in one of 400,000 logs. The keys of the hash are drawn anew in
    each process, so that nobody can craft names that collide; the result depends on the hashes in
    no other way.
    """

    def __init__(self) -> None:
        self._interner = IntegerInterner()
        self._strings_builder = PackedStringsBuilder()

    def encode(self, strings: Strings) -> Int32:
        """Return the number of each string, (n,), new ones where needed."""
        packed = PackedStrings.pack(strings)
        numbers, new = self._interner.encode(packed.hash())
        self._strings_builder.add(packed.take(new))
        return numbers

    def take_sorted(self) -> tuple[PackedStrings, Int32]:
        """Return the names, sorted, and the row of each number among them; forget all names."""
        self._interner = IntegerInterner()
        packed, order = self._strings_builder.build().sort()
        return packed, inverse_permutation(order)


def hash_strings(strings: Strings) -> Int64:
    """Return a hash of 64 bits of each string, (n,); see `PackedStrings.hash`."""
    return PackedStrings.pack(strings).hash()


class IdEncoder:
    """A mapping of point ids to small numbers; small integers stand for themselves."""

    def __init__(self) -> None:
        self._is_used = np.zeros(_DIRECT_ID_LIMIT, np.bool_)
        self._interner = IntegerInterner()
        self._other_ids: dict[PointId, int] = {}

    def encode(self, ids: Sequence[PointId] | Int64) -> Int32:
        """Return the number of each id, (n,), new ones where needed."""
        codes = self._to_codes(ids)
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
        """Return the ids in the order of `sort_ids`, and the row of each number among them."""
        others = list(self._other_ids)
        codes = self._interner.codes().tolist()
        ids = sort_ids(
            [
                *np.flatnonzero(self._is_used).tolist(),
                *(code if code >= 0 else others[-1 - code] for code in codes),
            ]
        )
        rows = np.empty(_DIRECT_ID_LIMIT + len(codes), np.int32)
        rows[self.encode(ids)] = np.arange(len(ids), dtype=np.int32)
        return ids, rows

    def _to_codes(self, ids: Sequence[PointId] | Int64) -> Int64:
        codes = pack_usual_ids(ids)
        return self._to_codes_singly(list(ids)) if codes is None else codes

    def _to_codes_singly(self, ids: Sequence[PointId]) -> Int64:
        return np.array([self._to_code(id_) for id_ in ids], np.int64)

    def _to_code(self, id_: PointId) -> int:
        """Return the id itself, or -1 - n of the n-th id that is no integer in the usual range."""
        if isinstance(id_, int) and 0 <= id_ < _PLAIN_CODE_LIMIT:
            return id_
        return -1 - self._other_ids.setdefault(id_, len(self._other_ids))


def pack_usual_ids(ids: Sequence[PointId] | Int64) -> Int64 | None:
    """Return ids as an array, (n,); None where one is no integer in the usual range."""
    try:
        codes = ids if isinstance(ids, np.ndarray) else np.frombuffer(array("q", ids), np.int64)  # type: ignore[type-var]
    except (TypeError, OverflowError):
        return None
    usual = not len(codes) or (codes.min() >= 0 and codes.max() < _PLAIN_CODE_LIMIT)
    return codes if usual else None


def inverse_permutation(order: Int32) -> Int32:
    """Return the position of each row in an order of all rows, (n,)."""
    inverse = np.empty(len(order), np.int32)
    inverse[order] = np.arange(len(order), dtype=np.int32)
    return inverse
