"""A set of keys that an import has seen, in eight bytes a key."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_MAX_RECENT = 200_000


class SeenKeys:
    """A set of keys that keeps a 64-bit hash of each.

    Two of ten million keys have the same hash once in 400,000 imports of that size.
    """

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._older: NDArray[np.uint64] = np.zeros(0, np.uint64)

    def add(self, key: str) -> bool:
        """Add `key`, and return whether it is new."""
        key_hash = _hash(key)
        if self._has(key_hash):
            return False
        self._recent.add(key_hash)
        if len(self._recent) >= _MAX_RECENT:
            self._merge_recent()
        return True

    def __contains__(self, key: str) -> bool:
        return self._has(_hash(key))

    def _has(self, key_hash: int) -> bool:
        return key_hash in self._recent or self._is_in_older(key_hash)

    def _is_in_older(self, key_hash: int) -> bool:
        if not len(self._older):
            return False
        index = int(np.searchsorted(self._older, np.uint64(key_hash)))
        return index < len(self._older) and int(self._older[index]) == key_hash

    def _merge_recent(self) -> None:
        recent = np.fromiter(self._recent, np.uint64, len(self._recent))
        self._older = np.sort(np.concatenate([self._older, recent]), kind="stable")
        self._recent = set()


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
