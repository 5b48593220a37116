"""Secret numbers by which strings are hashed, drawn anew in each process."""

from __future__ import annotations

import os
from threading import Lock

import numpy as np
from numpy.typing import NDArray

_FIRST_COUNT = 64
_keys: NDArray[np.uint64] = np.zeros((2, 0), np.uint64)
_keys_lock = Lock()


def find_hash_keys(count: int) -> NDArray[np.uint64]:
    """Return `count` keys, or more, for each of two hashes, (2, at least count).

    They stay the same as long as the process runs.
    """
    global _keys  # noqa: PLW0603
    with _keys_lock:
        missing = count - _keys.shape[1]
        if missing > 0:
            drawn = np.frombuffer(os.urandom(16 * max(missing, _FIRST_COUNT)), np.uint64)
            _keys = np.concatenate([_keys, drawn.reshape(2, -1)], axis=1)
        return _keys
