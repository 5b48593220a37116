"""What is odd about the vectors of judged points: zeros, lengths that are not 1, duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nudge_sync.connector import PointId, Points
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.feedback.schema.point_ids import sort_ids
from nudge_sync.solve.geometry import lengths
from nudge_sync.store import checksum
from nudge_sync.store.target import Target

_LENGTH_TOLERANCE = 1e-3
"""How far from 1 a length may be, as on Euclidean collections."""
_NAMED_IDS = 5
_BATCH_SIZE = 10_000
"""Points that are read at a time."""


@dataclass(frozen=True)
class PointQuality:
    """The judged points whose vectors are odd, by how."""

    zero: list[PointId] = field(default_factory=list)
    unnormalised: list[PointId] = field(default_factory=list)
    duplicates: list[PointId] = field(default_factory=list)
    """Points that hold, bit for bit, the vector of another judged point."""

    def summary(self) -> dict[str, Any]:
        """Return the `vectors` field of `check --json`: counts, and the first few ids."""
        kinds = {
            "zero": self.zero,
            "unnormalised": self.unnormalised,
            "duplicates": self.duplicates,
        }
        counts = {name: len(ids) for name, ids in kinds.items()}
        return counts | {f"{name}_ids": ids[:_NAMED_IDS] for name, ids in kinds.items() if ids}

    def list_notes(self, metric: str) -> list[str]:
        """Return what each kind means on a collection of this metric, a sentence each."""
        notes = []
        if self.zero:
            notes.append(
                f"{_count(self.zero)} hold a zero vector: no search finds them, and feedback on "
                "them is left out until they are embedded"
            )
        if self.unnormalised:
            notes.append(
                f"{_count(self.unnormalised)} are not of length 1: {_MEANING_OF_LENGTH[metric]}"
            )
        if self.duplicates:
            notes.append(
                f"{_count(self.duplicates)} hold the vector of another judged point: no search "
                "tells them apart until feedback does. The same text was stored twice, or its "
                "embedding failed and left a constant"
            )
        return notes


_MEANING_OF_LENGTH = {
    "cosine": "this collection compares directions alone, so that it does not matter",
    "dot": "where it compares by dot product, a longer vector ranks higher for every query; "
    "methods that turn vectors keep their lengths",
    "euclid": "where it compares by Euclidean distance, such points cannot be nudged; scale them",
}


def inspect_judged_points(target: Target, judgements: Judgements) -> PointQuality:
    """Read the judged points and return those with odd vectors. Raises DatabaseError."""
    quality, first_by_digest = PointQuality(), dict[str, PointId]()
    duplicates: set[PointId] = set()
    for points in _read_batches(target, sort_ids({*judgements.point_ids})):
        norms = lengths(points.vectors)
        # A comparison with NaN is false: what is no number is refused elsewhere, by name.
        is_zero, is_off = norms == 0, np.abs(norms - 1) > _LENGTH_TOLERANCE
        quality.zero.extend(_select(points, is_zero))
        quality.unnormalised.extend(_select(points, is_off & ~is_zero))
        for point, digest in zip(points.ids, checksum.digest_vectors(points.vectors), strict=True):
            first = first_by_digest.setdefault(digest, point)
            if first != point:
                duplicates |= {first, point}
    quality.duplicates.extend(sort_ids(duplicates - {*quality.zero}))
    return quality


def _read_batches(target: Target, ids: Sequence[PointId]) -> Iterator[Points]:
    for start in range(0, len(ids), _BATCH_SIZE):
        yield target.collection.read(ids[start : start + _BATCH_SIZE])


def _select(points: Points, mask: Any) -> list[PointId]:
    return [points.ids[row] for row in np.flatnonzero(mask).tolist()]


def _count(ids: Sequence[PointId]) -> str:
    named = ", ".join(map(str, ids[:_NAMED_IDS]))
    more = ", ..." if len(ids) > _NAMED_IDS else ""
    return f"{len(ids)} judged points ({named}{more})"
