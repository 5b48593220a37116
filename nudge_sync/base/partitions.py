"""Rows distributed over partitions, so that each can be sorted or grouped in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base import spooled
from nudge_sync.base.spooled import SpooledColumn

_MAX_PARTITIONS = 2**15
_SAMPLE_SIZE = 2**17
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio, odd: spreads numbers that follow each other (Knuth)."""


class Partitions:
    """Rows of some columns, distributed over partitions; within one they keep their order."""

    def __init__(self, count: int, dtypes: Sequence[Any]) -> None:
        self._count = count
        self._columns = [SpooledColumn(dtype) for dtype in dtypes]
        self._bounds: list[NDArray[np.int64]] = []
        """One for each call of `add`, (count + 1,): where the rows of each partition begin."""

    def __len__(self) -> int:
        return self._count

    @property
    def dtypes(self) -> list[np.dtype[Any]]:
        """The types of the columns."""
        return [column.dtype for column in self._columns]

    def add(self, partition: NDArray[Any], *columns: NDArray[Any]) -> None:
        """Append rows: their partitions, (n,), and each column, (n,)."""
        begin = len(self._columns[0])
        if self._count == 1:
            ends = np.array([len(partition)])
        else:
            order = np.argsort(partition.astype(np.int16), kind="stable")
            ends = np.cumsum(np.bincount(partition, minlength=self._count))
            columns = tuple(values[order] for values in columns)
        for column, values in zip(self._columns, columns, strict=True):
            column.extend(values)
        self._bounds.append(begin + np.concatenate([[0], ends]))

    def read(self, partition: int) -> list[NDArray[Any]]:
        """Return the columns of a partition."""
        return self._read_ranges(self._list_ranges(partition))

    def read_parts(self, partition: int) -> Iterator[list[NDArray[Any]]]:
        """Yield the columns of a partition in parts of at most `ROWS_PER_PART` rows; what one call
        of `add` gave it is one part at least.
        """
        ranges = self._list_ranges(partition)
        while ranges:
            taken = [ranges.pop(0)]
            size = taken[0][1] - taken[0][0]
            while ranges and size + ranges[0][1] - ranges[0][0] <= spooled.ROWS_PER_PART:
                size += ranges[0][1] - ranges[0][0]
                taken.append(ranges.pop(0))
            yield self._read_ranges(taken)

    def _list_ranges(self, partition: int) -> list[tuple[int, int]]:
        ranges = ((int(each[partition]), int(each[partition + 1])) for each in self._bounds)
        return [(start, stop) for start, stop in ranges if start < stop]

    def _read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[NDArray[Any]]:
        return [
            np.concatenate([np.zeros(0, column.dtype), *(column.read(*each) for each in ranges)])
            for column in self._columns
        ]

    def __iter__(self) -> Iterator[list[NDArray[Any]]]:
        return map(self.read, range(self._count))


def count_partitions(rows: int) -> int:
    """Return how many partitions rows need, so that each fits into memory."""
    return min(max(1, -(-rows // spooled.ROWS_PER_PART)), _MAX_PARTITIONS)


def spread(numbers: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Return a partition for each number, (n,), the same for the same; `count` are filled alike."""
    mixed = numbers.astype(np.uint64) * _MULTIPLIER >> np.uint64(32)
    return np.asarray(mixed % np.uint64(count), np.int64)


def choose_bounds(keys: NDArray[Any], count: int) -> NDArray[Any]:
    """Return at most `count` - 1 ascending keys that part all keys into partitions of about one
    size: `np.searchsorted(bounds, key, side="right")` is the partition of a key.
    """
    sample = np.sort(keys[:: max(1, len(keys) // _SAMPLE_SIZE)])
    positions = len(sample) * np.arange(1, count) // count
    return np.unique(sample[positions]) if len(sample) else sample
