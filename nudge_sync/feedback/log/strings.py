"""Many names in one piece of memory, and their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int64

_WORD_BYTES = 8
"""Bytes that are compared at a time."""


class PackedStrings:
    """Texts that never change: a few bytes each besides what they say."""

    def __init__(self, data: bytes, starts: Int64, sizes: NDArray[np.int32]) -> None:
        """Text i is the UTF-8 of `said[starts[i]:starts[i] + sizes[i]]`."""
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
        """These, sorted, and which row each was; the same texts stay in the order they are in."""
        # Bytes of UTF-8 sort as the code points do that Python compares.
        order = _argsort_strings(self._data, self._starts, self._sizes)
        return PackedStrings(self._data, self._starts[order], self._sizes[order]), order


class PackedStringsBuilder:
    """Texts as they come in."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._sizes: list[NDArray[np.int32]] = []

    def add(self, texts: Sequence[str]) -> None:
        """Put `texts` behind those that are there."""
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
        """What was collected; takes it out of here."""
        sizes = np.concatenate([np.zeros(0, np.int32), *self._sizes])
        data, self._data, self._sizes = bytes(self._data), bytearray(), []
        return PackedStrings(data, np.cumsum(sizes, dtype=np.int64) - sizes, sizes)


# An application's own text may hold half a surrogate pair, which plain UTF-8 refuses.
def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _argsort_strings(data: bytes, starts: Int64, sizes: NDArray[np.int32]) -> Int64:
    """(n,): the rows sorted by their bytes: word by word, each only where those before are the
    same.
    """
    words = _view_words(data)
    order = np.arange(len(sizes))
    unsettled = np.arange(len(sizes))
    """Places of `order` that are not settled."""
    group_starts = np.zeros(len(sizes), np.int64)
    """For each of them the first place that may be its own."""
    offset = 0
    while len(unsettled):
        rows = order[unsettled]
        max_size = int(sizes[rows].max())
        # Beyond its end a text reads as zeros; if one had zeros there, it is the longer one.
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
    """The eight bytes from each place on, the first one weighing most."""
    padded = np.frombuffer(data + bytes(_WORD_BYTES), np.uint8)
    return np.ndarray((len(data) + 1,), ">u8", padded, strides=(1,))


def _read_words(
    words: NDArray[np.uint64], offsets: Int64, remaining: NDArray[np.int32]
) -> NDArray[np.uint64]:
    """The words at `places`, of which only the first `left` bytes count."""
    result = words[np.minimum(offsets, len(words) - 1)].astype(np.uint64)
    unused_bits = 8 * (_WORD_BYTES - np.clip(remaining, 0, _WORD_BYTES)).astype(np.uint64)
    # Shifted by 64 bits a word would stay as it is.
    return np.where(remaining > 0, result >> unused_bits % 64 << unused_bits % 64, np.uint64(0))
