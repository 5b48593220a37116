"""Which searches the sidecar keeps itself, so that the same one in a table is left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import Records
from nudge_sync.feedback.log.id_encoding import hash_strings


class OwnQueryIds:
    """The query ids of all the sidecar's own searches, at 8 bytes each."""

    def __init__(self, own: Records) -> None:
        hashes = [
            hash_strings([record.key for record in batch])
            for batch in own.scan(None, vectors=False)
        ]
        self._sorted_hashes = np.sort(np.concatenate([np.zeros(0, np.int64), *hashes]))

    def __len__(self) -> int:
        return len(self._sorted_hashes)

    def mark(self, query_ids: Sequence[str]) -> NDArray[np.bool_]:
        """Return which of some query ids are among them, (n,)."""
        if not len(self):
            return np.zeros(len(query_ids), np.bool_)
        hashes = hash_strings(query_ids)
        nearest = np.searchsorted(self._sorted_hashes, hashes)
        return np.asarray(self._sorted_hashes[np.minimum(nearest, len(self) - 1)] == hashes)
