"""Rows in the order of several whole numbers, fast where there are millions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int64

_Value = TypeVar("_Value", bound=np.generic)

_MAX_KEY_BITS = 63
_BLOCK_SIZE = 2**20
"""Row numbers that are made at a time, so that they never take the memory of a whole column."""


def order_rows(
    keys: Sequence[NDArray[np.integer]],
) -> tuple[Int64, NDArray[np.bool_]]:
    """Return the order of the rows by their keys, (n,), and which rows, so ordered, have other keys
    than the row before, (n,).

    keys: columns of n integers each, the first one weighing most. Rows with the same keys keep
    their order.
    """
    row_count = len(keys[0])
    row_bits = row_count.bit_length()
    code, bits = _pack_keys(keys)
    if bits + row_bits > _MAX_KEY_BITS:
        code, bits = _compress_codes(code), row_bits
    # With the row number in its last bits, each code can be sorted in place, which is far faster
    # than np.argsort.
    code <<= row_bits
    for start in range(0, row_count, _BLOCK_SIZE):
        code[start : start + _BLOCK_SIZE] += np.arange(start, min(start + _BLOCK_SIZE, row_count))
    code.sort()
    order = code & ((1 << row_bits) - 1)
    code >>= row_bits
    return order, mark_changes(code)


def _pack_keys(keys: Sequence[NDArray[np.integer]]) -> tuple[Int64, int]:
    """Return one number for all keys of each row, (n,), in the same order, and its bits."""
    code, bits = np.zeros(len(keys[0]), np.int64), 0
    for key in keys:
        low = int(key.min(initial=0))
        width = (int(key.max(initial=0)) - low).bit_length()
        if bits + width > _MAX_KEY_BITS:
            code, bits = _compress_codes(code), len(code).bit_length()
        code <<= width
        code += key
        code -= low
        bits += width
    return code, bits


def _compress_codes(code: Int64) -> Int64:
    """Return the index of each code among the distinct codes in ascending order, (n,)."""
    order = np.argsort(code)
    result = np.empty(len(code), np.int64)
    result[order] = np.cumsum(mark_changes(code[order])) - 1
    return result


def mark_changes(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which values differ from the one before, (n,); the first one always does."""
    is_change = np.ones(len(values), np.bool_)
    is_change[1:] = values[1:] != values[:-1]
    return is_change


def sort_unique(values: NDArray[_Value]) -> NDArray[_Value]:
    """Return each of the values once, ascending."""
    # np.unique hashes integers, which is slow where there are many.
    sorted_values = np.sort(values)
    return np.asarray(sorted_values[mark_changes(sorted_values)])
