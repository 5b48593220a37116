"""Rows drawn as by chance, and always the same ones."""

from __future__ import annotations

import numpy as np

from nudge_sync.solve.problem import Rows

_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)


def draw_rows(count: int, wanted: int) -> Rows:
    """Return `wanted` of the numbers 0 to count - 1, or all if there are fewer, ascending.

    Those whose SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) is lowest.
    """
    if count <= wanted:
        return np.arange(count)
    mixed = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * _INCREMENT
    mixed = (mixed ^ (mixed >> _SHIFTS[0])) * _FIRST
    mixed = (mixed ^ (mixed >> _SHIFTS[1])) * _SECOND
    return np.sort(np.argsort(mixed ^ (mixed >> _SHIFTS[2]), kind="stable")[:wanted])
