"""Rows in the order of several whole numbers, fast where there are millions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)

_BITS = 63
_BLOCK = 2**20
"""Numbers that are made at a time, to go into others."""


def ordered(
    keys: Sequence[NDArray[np.integer]],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The rows by their keys, the first one first, in the order given where all are the same; and
    which of them, so ordered, have other keys than the one before.
    """
    rows = len(keys[0])
    for_rows = rows.bit_length()
    code, bits = _packed(keys)
    if bits + for_rows > _BITS:
        code, bits = _dense(code), for_rows
    # With its row in the last bits each code is one number, and numbers sort far faster than
    # rows are ordered by them.
    code <<= for_rows
    for start in range(0, rows, _BLOCK):
        code[start : start + _BLOCK] += np.arange(start, min(start + _BLOCK, rows))
    code.sort()
    order = code & ((1 << for_rows) - 1)
    code >>= for_rows
    return order, changes(code)


def _packed(keys: Sequence[NDArray[np.integer]]) -> tuple[NDArray[np.int64], int]:
    """One number for all keys of a row, which orders the rows as the keys do, and its bits."""
    code, bits = np.zeros(len(keys[0]), np.int64), 0
    for key in keys:
        low = int(key.min(initial=0))
        width = (int(key.max(initial=0)) - low).bit_length()
        if bits + width > _BITS:
            code, bits = _dense(code), len(code).bit_length()
        code <<= width
        code += key
        code -= low
        bits += width
    return code, bits


def _dense(code: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row the place of its code among the different codes."""
    order = np.argsort(code)
    found = np.empty(len(code), np.int64)
    found[order] = np.cumsum(changes(code[order])) - 1
    return found


def changes(ranked: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values differ from the one before; the first one does."""
    found = np.ones(len(ranked), np.bool_)
    found[1:] = ranked[1:] != ranked[:-1]
    return found


def different(values: NDArray[Number]) -> NDArray[Number]:
    """Each of the values once, ascending."""
    # np.unique hashes whole numbers, which is slow where they are many.
    ranked = np.sort(values)
    return np.asarray(ranked[changes(ranked)])
