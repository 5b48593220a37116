"""Many names in one piece of memory, and their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]

_WORD = 8
"""Bytes that are compared at a time."""


class Texts:
    """Texts that never change: a few bytes each besides what they say."""

    def __init__(self, said: bytes, starts: Int64, sizes: NDArray[np.int32]) -> None:
        """Text i is the UTF-8 of `said[starts[i]:starts[i] + sizes[i]]`."""
        self._said = said
        self._starts = starts
        self._sizes = sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, row: int) -> str:
        start = int(self._starts[row])
        return _text(self._said[start : start + int(self._sizes[row])])

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def ordered(self) -> tuple[Texts, Int64]:
        """These, sorted, and which row each was; the same texts stay in the order they are in."""
        # Bytes of UTF-8 sort as the code points do that Python compares.
        order = _order(self._said, self._starts, self._sizes)
        return Texts(self._said, self._starts[order], self._sizes[order]), order


class Collected:
    """Texts as they come in."""

    def __init__(self) -> None:
        self._said = bytearray()
        self._sizes: list[NDArray[np.int32]] = []

    def add(self, texts: Sequence[str]) -> None:
        """Put `texts` behind those that are there."""
        joined = "".join(texts)
        if joined.isascii():
            sizes = list(map(len, texts))
            self._said += joined.encode()
        else:
            encoded = list(map(_bytes, texts))
            sizes = list(map(len, encoded))
            self._said += b"".join(encoded)
        self._sizes.append(np.array(sizes, np.int32))

    def all(self) -> Texts:
        """What was collected; takes it out of here."""
        sizes = np.concatenate([np.zeros(0, np.int32), *self._sizes])
        said, self._said, self._sizes = bytes(self._said), bytearray(), []
        return Texts(said, np.cumsum(sizes, dtype=np.int64) - sizes, sizes)


# An application's own text may hold half a surrogate pair, which plain UTF-8 refuses.
def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(said: bytes) -> str:
    return said.decode("utf-8", "surrogatepass")


def _order(said: bytes, starts: Int64, sizes: NDArray[np.int32]) -> Int64:
    """(n,): the rows sorted by their bytes: word by word, each only where those before are the
    same.
    """
    words = _words(said)
    order = np.arange(len(sizes))
    open_ = np.arange(len(sizes))
    """Places of `order` that are not settled."""
    run = np.zeros(len(sizes), np.int64)
    """For each of them the first place that may be its own."""
    at = 0
    while len(open_):
        rows = order[open_]
        longest = int(sizes[rows].max())
        # Beyond its end a text reads as zeros; if one had zeros there, it is the longer one.
        key = sizes[rows] if at >= longest else _word(words, starts[rows] + at, sizes[rows] - at)
        by = np.lexsort((key, run))
        order[open_] = rows[by]
        if at >= longest:
            break
        alike = np.zeros(len(by) + 1, np.bool_)
        alike[1:-1] = (run[1:] == run[:-1]) & (key[by[1:]] == key[by[:-1]])
        tied = alike[1:] | alike[:-1]
        first = np.maximum.accumulate(np.where(alike[:-1], 0, np.arange(len(by))))
        open_, run = open_[tied], open_[first][tied]
        at += _WORD
    return order


def _words(said: bytes) -> NDArray[np.uint64]:
    """The eight bytes from each place on, the first one weighing most."""
    padded = np.frombuffer(said + bytes(_WORD), np.uint8)
    return np.ndarray((len(said) + 1,), ">u8", padded, strides=(1,))


def _word(words: NDArray[np.uint64], places: Int64, left: NDArray[np.int32]) -> NDArray[np.uint64]:
    """The words at `places`, of which only the first `left` bytes count."""
    found = words[np.minimum(places, len(words) - 1)].astype(np.uint64)
    beyond = 8 * (_WORD - np.clip(left, 0, _WORD)).astype(np.uint64)
    # Shifted by 64 bits a word would stay as it is.
    return np.where(left > 0, found >> beyond % 64 << beyond % 64, np.uint64(0))
