"""Millions of strings in one piece of memory or of a file: how to sort and how to hash them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base import spooled
from nudge_sync.base.arrays import Int32, Int64
from nudge_sync.base.partitions import Partitions, choose_bounds, count_partitions
from nudge_sync.base.spooled import (
    SpooledColumn,
    compute_column,
    list_parts,
    read_parts,
    release_pages,
)
from nudge_sync.feedback.log.hash_keys import find_hash_keys

Bytes: TypeAlias = NDArray[np.uint8]

_WORD_BYTES = 8
"""How many bytes of a string are compared, or hashed, at a time."""
_HALF_BITS, _LOW_HALF = np.uint64(32), np.uint64(2**32 - 1)
"""Of a word."""


class PackedStrings:
    """An immutable sequence of strings that takes 12 bytes each beside their UTF-8."""

    def __init__(self, data: Bytes, starts: Int64, sizes: Int32) -> None:
        """Take string i as the UTF-8 in `data[starts[i]:starts[i] + sizes[i]]`.

        data: with `_WORD_BYTES` more bytes after the last string.
        """
        self._data = data
        self._starts = starts
        self._sizes = sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, row: int) -> str:
        return _decode(self._read(row))

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    @staticmethod
    def pack(texts: Strings) -> PackedStrings:
        """Return strings packed, if they are not."""
        if isinstance(texts, PackedStrings):
            return texts
        joined = "".join(texts)
        if joined.isascii():
            sizes, data = list(map(len, texts)), joined.encode()
        else:
            encoded = list(map(_encode, texts))
            sizes, data = list(map(len, encoded)), b"".join(encoded)
        padded = np.frombuffer(data + bytes(_WORD_BYTES), np.uint8)
        return PackedStrings.from_columns(padded, np.array(sizes, np.int32))

    @staticmethod
    def from_columns(data: Bytes, sizes: Int32) -> PackedStrings:
        """Return strings whose UTF-8 lies end to end, as `to_columns` gives them.

        Raises ValueError where the sizes do not fit the data.
        """
        if np.any(sizes < 0) or sizes.sum(dtype=np.int64) + _WORD_BYTES != len(data):
            raise ValueError("the sizes of strings do not fit their data")
        return PackedStrings(data, np.cumsum(sizes, dtype=np.int64) - sizes, sizes)

    @staticmethod
    def concatenate(parts: Sequence[PackedStrings]) -> PackedStrings:
        """Return the strings of all parts, one after the other."""
        data = np.concatenate([*(part.join() for part in parts), np.zeros(_WORD_BYTES, np.uint8)])
        return PackedStrings.from_columns(data, np.concatenate([part.sizes for part in parts]))

    def to_columns(self) -> tuple[Bytes, Int32]:
        """Return the UTF-8 end to end, with some bytes after it, and the size of each string."""
        return np.append(self.join(), np.zeros(_WORD_BYTES, np.uint8)), self._sizes

    def join(self) -> Bytes:
        """Return the UTF-8 of the strings end to end."""
        ends = np.cumsum(self._sizes, dtype=np.int64)
        begins = ends - self._sizes
        if not len(ends) or np.array_equal(self._starts - self._starts[0], begins):
            first = int(self._starts[0]) if len(ends) else 0
            return self._data[first : first + int(self._sizes.sum(dtype=np.int64))]
        places = np.repeat(self._starts - begins, self._sizes)
        places += np.arange(len(places))
        return np.asarray(self._data[places])

    def take(self, rows: Int64 | NDArray[np.bool_]) -> PackedStrings:
        """Return the strings of some rows, in their order, or of a mask; the UTF-8 is shared."""
        return PackedStrings(self._data, self._starts[rows], self._sizes[rows])

    @property
    def sizes(self) -> Int32:
        """The bytes of each string, (n,)."""
        return self._sizes

    def hash(self) -> Int64:
        """Return a hash of 64 bits of each string, (n,), good for this process only.

        Two multilinear hashes of 32 bits each, h = (sum of k_i w_i mod 2^64) / 2^32 over the words
        of 32 bits w_i and the length, with keys k_i that nobody else knows: two strings collide
        with a probability of 2^-64, whoever chose them (Lemire and Kaser 2014, Strongly universal
        string hashing is fast).
        """
        sizes = self._sizes
        shortest, longest = int(sizes.min(initial=_WORD_BYTES)), int(sizes.max(initial=0))
        keys = find_hash_keys(1 + 2 * -(-longest // _WORD_BYTES))
        sums = keys[:, :1] * sizes.astype(np.uint64)
        for offset in range(0, longest, _WORD_BYTES):
            rows = slice(None) if offset < shortest else np.flatnonzero(sizes > offset)
            word = self._read_words(rows, offset)
            halves = word >> _HALF_BITS, word & _LOW_HALF
            number = 1 + 2 * offset // _WORD_BYTES
            for key, hash_sums in zip(keys, sums, strict=True):
                hash_sums[rows] += halves[0] * key[number] + halves[1] * key[number + 1]
        joined = (sums[0] & ~_LOW_HALF) | (sums[1] >> _HALF_BITS)
        return np.asarray(joined.view(np.int64))

    def sort(self) -> tuple[PackedStrings, Int32]:
        """Return the strings sorted, and the row that each had; equal ones keep their order."""
        order = SpooledColumn(np.int32)
        for rows in self._sort_rows(np.arange(len(self), dtype=np.int32)):
            order.extend(rows)
            release_pages()
        rows = order.to_array()
        starts = compute_column(len(self), np.int64, lambda part: self._starts[rows[part]])
        sizes = compute_column(len(self), np.int32, lambda part: self._sizes[rows[part]])
        return PackedStrings(self._data, starts, sizes), rows

    def _sort_rows(self, rows: Int32) -> Iterator[Int32]:
        """Yield the rows, which ascend, in the order of their strings, a part at a time."""
        if len(rows) <= spooled.ROWS_PER_PART:
            yield self._sort_part(rows)
            return
        for (part,) in self._distribute(rows):
            # What has more of its beginning in common is distributed anew by what comes after it.
            if len(part) < len(rows):
                yield from self._sort_rows(part)
            else:
                yield self._sort_part(part)

    def _sort_part(self, rows: Int32) -> Int32:
        # UTF-8 sorts by its bytes as Python sorts by code points.
        prefix = self._measure_common_prefix(rows)
        starts, sizes = self._starts[rows] + prefix, self._sizes[rows] - np.int32(prefix)
        return rows[_argsort_strings(_view_words(self._data), starts, sizes)]

    def _distribute(self, rows: Int32) -> Partitions:
        """Return the rows in partitions, in the order of the first word in which strings differ."""
        prefix = self._measure_common_prefix(rows)
        words = compute_column(
            len(rows), np.uint64, lambda part: self._read_words(rows[part], prefix)
        )
        bounds = choose_bounds(words, count_partitions(len(rows)))
        partitions = Partitions(len(bounds) + 1, [np.int32])
        for part in read_parts(len(rows)):
            partitions.add(np.searchsorted(bounds, words[part], side="right"), rows[part])
        return partitions

    def _measure_common_prefix(self, rows: Int32) -> int:
        """Return how many bytes the strings of some rows have in common at their beginning."""
        if not len(rows):
            return 0
        first = self._read(int(rows[0]))
        size = min(int(self._sizes[rows[part]].min()) for part in list_parts(len(rows)))
        for part in list_parts(len(rows)):
            for offset in range(0, size, _WORD_BYTES):
                word = first[offset : offset + _WORD_BYTES].ljust(_WORD_BYTES, b"\0")
                differing = self._read_words(rows[part], offset) ^ np.uint64(int.from_bytes(word))
                if differing.any():
                    bits = int(np.bitwise_or.reduce(differing)).bit_length()
                    size = min(size, offset + (8 * _WORD_BYTES - bits) // 8)
                    break
        return size

    def _read_words(self, rows: Int32 | Int64 | slice, offset: int) -> NDArray[np.uint64]:
        """Return the 8 bytes of each string from an offset on, zeros beyond its end, (n,)."""
        starts, sizes = self._starts[rows] + offset, self._sizes[rows] - np.int32(offset)
        return _read_words(_view_words(self._data), starts, sizes)

    def _read(self, row: int) -> bytes:
        start = int(self._starts[row])
        return self._data[start : start + int(self._sizes[row])].tobytes()


Strings: TypeAlias = Sequence[str] | PackedStrings


class PackedStringsBuilder:
    """Collects strings as they come in."""

    def __init__(self) -> None:
        self._data, self._sizes = SpooledColumn(np.uint8), SpooledColumn(np.int32)

    def add(self, texts: Strings) -> None:
        """Append `texts`."""
        packed = PackedStrings.pack(texts)
        self._data.extend(packed.join())
        self._sizes.extend(packed.sizes)

    def build(self) -> PackedStrings:
        """Return what was collected, and forget it."""
        self._data.extend(np.zeros(_WORD_BYTES, np.uint8))
        data, sizes = self._data.to_array(), self._sizes.to_array()
        self._data, self._sizes = SpooledColumn(np.uint8), SpooledColumn(np.int32)
        return PackedStrings(data, _compute_starts(sizes), sizes)


def _compute_starts(sizes: Int32) -> Int64:
    """Return where each string begins if they are laid end to end, (n,)."""
    total = 0

    def compute(part: slice) -> Int64:
        nonlocal total
        ends = total + np.cumsum(sizes[part], dtype=np.int64)
        total = int(ends[-1])
        return ends - sizes[part]

    return compute_column(len(sizes), np.int64, compute)


# A text of the application's may hold half a surrogate pair, which strict UTF-8 refuses.
def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _argsort_strings(words: NDArray[np.uint64], starts: Int64, sizes: Int32) -> Int64:
    """Return the rows in the order of their bytes, (n,).

    words: of `_view_words`.

    Compares one word of 8 bytes at a time, and the next one only of rows that are still tied.
    """
    order = np.arange(len(sizes))
    unsettled = np.arange(len(sizes))
    """Indices of `order` whose rows are still tied with others."""
    group_starts = np.zeros(len(sizes), np.int64)
    """For each of them the first index of its group of tied rows."""
    offset = 0
    while len(unsettled):
        rows = order[unsettled]
        max_size = int(sizes[rows].max())
        # Beyond its end a string reads as zeros; if another has real zeros there, it is longer.
        key = (
            sizes[rows]
            if offset >= max_size
            else _read_words(words, starts[rows] + offset, sizes[rows] - offset)
        )
        permutation = np.lexsort((key, group_starts)) if offset else np.argsort(key, kind="stable")
        order[unsettled] = rows[permutation]
        if offset >= max_size:
            break
        same_as_previous = np.zeros(len(permutation) + 1, np.bool_)
        same_as_previous[1:-1] = (group_starts[1:] == group_starts[:-1]) & (
            key[permutation[1:]] == key[permutation[:-1]]
        )
        tied = same_as_previous[1:] | same_as_previous[:-1]
        first_of_group = np.maximum.accumulate(
            np.where(same_as_previous[:-1], 0, np.arange(len(permutation)))
        )
        unsettled, group_starts = unsettled[tied], unsettled[first_of_group][tied]
        offset += _WORD_BYTES
    return order


def _view_words(data: Bytes) -> NDArray[np.uint64]:
    """Return the 8 bytes from each offset on as one big-endian number, without copying them."""
    return np.ndarray((len(data) - _WORD_BYTES + 1,), ">u8", data, strides=(1,))


def _read_words(words: NDArray[np.uint64], offsets: Int64, remaining: Int32) -> NDArray[np.uint64]:
    """Return the words at `offsets`, (n,), with all but the first `remaining` bytes set to zero."""
    result = words[np.minimum(offsets, len(words) - 1)].astype(np.uint64)
    if remaining.min(initial=_WORD_BYTES) == _WORD_BYTES:
        return result
    unused_bits = 8 * (_WORD_BYTES - np.clip(remaining, 0, _WORD_BYTES)).astype(np.uint64)
    # A shift by 64 bits would leave the word as it is.
    return np.where(remaining > 0, result >> unused_bits % 64 << unused_bits % 64, np.uint64(0))
