"""How many of the unjudged points near a query the database's approximate index finds."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.base.progress import Progress
from nudge_sync.connector import CollectionFacts, PointId
from nudge_sync.planning.unjudged.search import UnjudgedPoints, search_batch
from nudge_sync.store.target import Target

Reference: TypeAlias = Literal["exact", "wide"]
"""What an answer of the index is compared with: an exact search, or the best of a wide one."""

SAMPLE_QUERIES = 32
"""Queries that are searched a second time, however many there are."""
MAX_EXACT_BYTES = 4 * 2**30
"""Vectors that an exact search may go through for one query; a larger collection may lie on a
disk, where it would take minutes."""
WIDE_ANSWER = 4096
"""Points that a wide search asks for. To find so many a graph is followed much further than to
find a few, so that the best of them are hardly ever missed."""
_SEED = 0
_SCORE_TOLERANCE = 1e-5
"""Above what two ways to compute a score differ by; within it points are as near as each other."""


@dataclass(frozen=True, slots=True)
class IndexRecall:
    """The index's recall on a sample of the queries."""

    share: float
    """Mean over the sample: of the best unjudged points of a query, how many the index found."""
    queries: int
    """How many queries were sampled."""
    reference: Reference


def measure_index_recall(
    target: Target,
    queries: Float32,
    found: UnjudgedPoints,
    ids_in_play: AbstractSet[PointId],
    *,
    depth: int,
    progress: Progress,
) -> IndexRecall | None:
    """Search again, more thoroughly, for a fixed sample of `queries`, (q, d), and compare.

    found: what was found for all of them, the best `depth` points outside `ids_in_play` for each. A
    point that the index found counts if it is as near as the last of the best.
    The same queries give the same sample. Returns None where no index was asked, and where no
    sampled query has an unjudged point. Raises DatabaseError.
    """
    if not found.is_approximate or not len(queries):
        return None
    rows = _choose_sample(len(queries))
    progress("recall", 0, len(rows))
    reference = choose_reference(target.facts)
    best = _search_thoroughly(target, queries[rows], ids_in_play, depth, reference)
    progress("recall", len(rows), len(rows))
    shares = [
        compute_recall(found.scores[row, : len(found.ids[row])], best.scores[index, : len(ids)])
        for index, (row, ids) in enumerate(zip(rows, best.ids, strict=True))
        if ids
    ]
    if not shares:
        return None
    return IndexRecall(float(np.mean(shares)), len(shares), reference)


def choose_reference(facts: CollectionFacts) -> Reference:
    """Return what the index is compared with: an exact search where the database affords one."""
    byte_count = 4 * facts.points * facts.dimension
    return "exact" if facts.exact_search and byte_count <= MAX_EXACT_BYTES else "wide"


def compute_recall(found: Float32, best: Float32) -> float:
    """Return the share of the best points that were found, (b,) and (f,), by their scores.

    Points of equal score are as good as each other, whichever of them an answer holds.
    """
    hit_count = int((found >= best[-1] - _SCORE_TOLERANCE).sum())
    return min(hit_count, len(best)) / len(best)


def _choose_sample(query_count: int) -> Sequence[int]:
    if query_count <= SAMPLE_QUERIES:
        return range(query_count)
    chosen = np.random.default_rng(_SEED).choice(query_count, SAMPLE_QUERIES, replace=False)
    rows: list[int] = np.sort(chosen).tolist()
    return rows


def _search_thoroughly(
    target: Target,
    queries: Float32,
    ids_in_play: AbstractSet[PointId],
    depth: int,
    reference: Reference,
) -> UnjudgedPoints:
    if reference == "exact":
        return search_batch(target, queries, ids_in_play, depth, exact=True)
    return search_batch(target, queries, ids_in_play, depth, exact=False, widths=(WIDE_ANSWER,))
