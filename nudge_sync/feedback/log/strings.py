"""Millions of strings in one piece of memory, and how to sort them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int64

_WORD_BYTES = 8
"""How many bytes of a string are compared at a time."""


class PackedStrings:
    """An immutable sequence of strings that takes 12 bytes each beside their UTF-8."""

    def __init__(self, data: bytes, starts: Int64, sizes: NDArray[np.int32]) -> None:
        """Take string i as the UTF-8 in `data[starts[i]:starts[i] + sizes[i]]`."""
        self._data = data
        self._starts = starts
        self._sizes = sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, row: int) -> str:
        start = int(self._starts[row])
        return _decode(self._data[start : start + int(self._sizes[row])])

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def sort(self) -> tuple[PackedStrings, Int64]:
        """Return the strings sorted, and the row that each had; equal ones keep their order."""
        # UTF-8 sorts by its bytes as Python sorts by code points.
        order = _argsort_strings(self._data, self._starts, self._sizes)
        return PackedStrings(self._data, self._starts[order], self._sizes[order]), order


class PackedStringsBuilder:
    """Collects strings as they come in."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._sizes: list[NDArray[np.int32]] = []

    def add(self, texts: Sequence[str]) -> None:
        """Append `texts`."""
        joined = "".join(texts)
        if joined.isascii():
            sizes = list(map(len, texts))
            self._data += joined.encode()
        else:
            encoded = list(map(_encode, texts))
            sizes = list(map(len, encoded))
            self._data += b"".join(encoded)
        self._sizes.append(np.array(sizes, np.int32))

    def build(self) -> PackedStrings:
        """Return what was collected, and forget it."""
        sizes = np.concatenate([np.zeros(0, np.int32), *self._sizes])
        data, self._data, self._sizes = bytes(self._data), bytearray(), []
        return PackedStrings(data, np.cumsum(sizes, dtype=np.int64) - sizes, sizes)


# A text of the application's may hold half a surrogate pair, which strict UTF-8 refuses.
def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _argsort_strings(data: bytes, starts: Int64, sizes: NDArray[np.int32]) -> Int64:
    """Return the rows in the order of their bytes, (n,).

    Compares one word of 8 bytes at a time, and the next one only of rows that are still tied.
    """
    words = _view_words(data)
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
        permutation = np.lexsort((key, group_starts))
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


def _view_words(data: bytes) -> NDArray[np.uint64]:
    """Return the 8 bytes from each offset on as one big-endian number, without copying them."""
    padded = np.frombuffer(data + bytes(_WORD_BYTES), np.uint8)
    return np.ndarray((len(data) + 1,), ">u8", padded, strides=(1,))


def _read_words(
    words: NDArray[np.uint64], offsets: Int64, remaining: NDArray[np.int32]
) -> NDArray[np.uint64]:
    """Return the words at `offsets`, (n,), with all but the first `remaining` bytes set to zero."""
    result = words[np.minimum(offsets, len(words) - 1)].astype(np.uint64)
    unused_bits = 8 * (_WORD_BYTES - np.clip(remaining, 0, _WORD_BYTES)).astype(np.uint64)
    # A shift by 64 bits would leave the word as it is.
    return np.where(remaining > 0, result >> unused_bits % 64 << unused_bits % 64, np.uint64(0))
