"""Rows in the order of several whole numbers, fast where there are millions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Value = TypeVar("_Value", bound=np.generic)

_MAX_KEY_BITS = 63
_BLOCK_SIZE = 2**20
"""Numbers that are made at a time, to go into others."""


def order_rows(
    keys: Sequence[NDArray[np.integer]],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The rows by their keys, the first one first, in the order given where all are the same; and
    which of them, so ordered, have other keys than the one before.
    """
    row_count = len(keys[0])
    row_bits = row_count.bit_length()
    code, bits = _pack_keys(keys)
    if bits + row_bits > _MAX_KEY_BITS:
        code, bits = _compress_codes(code), row_bits
    # With its row in the last bits each code is one number, and numbers sort far faster than
    # rows are ordered by them.
    code <<= row_bits
    for start in range(0, row_count, _BLOCK_SIZE):
        code[start : start + _BLOCK_SIZE] += np.arange(start, min(start + _BLOCK_SIZE, row_count))
    code.sort()
    order = code & ((1 << row_bits) - 1)
    code >>= row_bits
    return order, mark_changes(code)


def _pack_keys(keys: Sequence[NDArray[np.integer]]) -> tuple[NDArray[np.int64], int]:
    """One number for all keys of a row, which orders the rows as the keys do, and its bits."""
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


def _compress_codes(code: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row the place of its code among the different codes."""
    order = np.argsort(code)
    result = np.empty(len(code), np.int64)
    result[order] = np.cumsum(mark_changes(code[order])) - 1
    return result


def mark_changes(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values differ from the one before; the first one does."""
    is_change = np.ones(len(values), np.bool_)
    is_change[1:] = values[1:] != values[:-1]
    return is_change


def sort_unique(values: NDArray[_Value]) -> NDArray[_Value]:
    """Each of the values once, ascending."""
    # np.unique hashes whole numbers, which is slow where they are many.
    sorted_values = np.sort(values)
    return np.asarray(sorted_values[mark_changes(sorted_values)])
