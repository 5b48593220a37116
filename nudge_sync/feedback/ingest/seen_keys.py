"""Which keys went by already, in eight bytes a key."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_RECENT = 200_000


class Seen:
    """A set of keys that remembers 64 bits of each: of ten million keys, two coincide by chance
    once in 400,000 such imports.
    """

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._older: NDArray[np.uint64] = np.zeros(0, np.uint64)

    def add(self, key: str) -> bool:
        """Whether the key is new; it is not from now on."""
        digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
        number = int.from_bytes(digest, "little")
        if number in self._recent or self._is_older(number):
            return False
        self._recent.add(number)
        if len(self._recent) >= _RECENT:
            self._settle()
        return True

    def _is_older(self, number: int) -> bool:
        if not len(self._older):
            return False
        at = int(np.searchsorted(self._older, np.uint64(number)))
        return at < len(self._older) and int(self._older[at]) == number

    def _settle(self) -> None:
        recent = np.fromiter(self._recent, np.uint64, len(self._recent))
        self._older = np.sort(np.concatenate([self._older, recent]), kind="stable")
        self._recent = set()
