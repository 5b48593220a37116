"""The best documents of each query, exactly, without ever holding a queries x documents matrix.

A matrix product by blocks; after the first block only scores above a query's k-th best so far are
looked at, and they become rare: about k / (rows seen) of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nudge_sync.solve.paths import chunks
from nudge_sync.solve.problem import Float32, Rows, Similarity
from nudge_sync.solve.ranked import positions
from nudge_sync.solve.rotation import TINY, lengths, single
from nudge_sync.workers import spread

QUERY_BLOCK, DOCUMENT_BLOCK = 1024, 2048
ROUNDING = 2e-6
"""Squared lengths this near to 1 are 1 in float32."""
SHARES = 8
"""Into how many the documents are dealt, on every machine alike."""
ROOM = 4
"""How many times k scores a query may wait before they are sorted in."""


@dataclass(frozen=True)
class Best:
    """The best documents of each query, best first."""

    scores: Float32
    """(q, k): -inf where there are fewer than k."""
    rows: Rows
    """(q, k): -1 where there are fewer than k."""


def best(
    queries: Float32,
    documents: NDArray[np.floating],
    k: int,
    *,
    skip: Rows | None = None,
    similarity: Similarity = "cosine",
    floor: Float32 | None = None,
) -> Best:
    """The `k` best of `documents`, (n, d), for each of `queries`, (q, d), unit rows.

    documents may be a memory-mapped array of any float type; it is read in blocks.
    skip: rows to leave out, ascending.  floor: (q,), scores that do not matter; a document at or
    below its query's floor is left out.
    """
    left_out = np.zeros(len(documents), np.bool_)
    left_out[skip if skip is not None else []] = True
    shares = list(chunks(len(documents), max(DOCUMENT_BLOCK, -(-len(documents) // SHARES))))

    def search(share: slice) -> Best:
        return _search(queries, documents, left_out, share, k, similarity, floor)

    return _merged(spread(search, shares), len(queries), k)


def _search(
    queries: Float32,
    documents: NDArray[np.floating],
    left_out: NDArray[np.bool_],
    share: slice,
    k: int,
    similarity: Similarity,
    floor: Float32 | None,
) -> Best:
    """The best of one share of the documents."""
    parts = list(chunks(len(queries), QUERY_BLOCK))
    tables = [_Table(queries[part], k, None if floor is None else floor[part]) for part in parts]
    for low in range(share.start, share.stop, DOCUMENT_BLOCK):
        rows = slice(low, min(low + DOCUMENT_BLOCK, share.stop))
        block, missing = _block(documents[rows], left_out[rows], similarity)
        for table in tables:
            table.add(block, missing, low)
    for table in tables:
        table.settle()
    done = [table.best for table in tables] or [_nothing(0, k)]
    return Best(
        np.concatenate([one.scores for one in done]), np.concatenate([one.rows for one in done])
    )


def _merged(found: list[Best], count: int, k: int) -> Best:
    """The best of several shares, whose rows ascend from share to share."""
    both = [_nothing(count, k), *found]
    scores = np.concatenate([one.scores for one in both], axis=1)
    rows = np.concatenate([one.rows for one in both], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Best(np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1))


def _block(
    documents: NDArray[np.floating], left_out: NDArray[np.bool_], similarity: Similarity
) -> tuple[Float32, NDArray[np.bool_]]:
    """Documents in float32, scaled as the similarity asks, and which of them do not count."""
    block = single(documents)
    with np.errstate(over="ignore", invalid="ignore"):
        square = np.einsum("ij,ij->i", block, block)
    if not np.isfinite(square).all():
        usable = np.asarray(np.isfinite(block).all(axis=1))
        block = np.where(usable[:, None], block, np.float32(0))
        left_out = left_out | ~usable
    if similarity == "cosine" and (np.abs(square - 1) > ROUNDING).any():
        length = lengths(block)
        block = (block / np.where(length > TINY, length, 1.0)[:, None]).astype(np.float32)
    return block, left_out


class _Table:
    """The best so far of a block of queries, and what may still get in."""

    def __init__(self, queries: Float32, k: int, floor: Float32 | None) -> None:
        self.queries = queries
        self.best = _nothing(len(queries), k)
        self.floor = np.full(len(queries), -np.inf, np.float32) if floor is None else floor.copy()
        self.product = np.empty((len(queries), DOCUMENT_BLOCK), np.float32)
        self.waiting: list[tuple[Rows, Rows, Float32]] = []
        self.room = ROOM * self.best.rows.size

    def add(self, documents: Float32, left_out: NDArray[np.bool_], first: int) -> None:
        """Take in a block of documents, whose rows count from `first`."""
        floor, room = self.floor, self.product[:, : len(documents)]
        # The same memory each time: fresh pages would cost as much as the comparison.
        scores = np.matmul(self.queries, documents.T, out=room)
        raised = bool(np.isfinite(floor).all())
        if not raised:
            scores[:, left_out] = -np.inf
            floor = _raised(floor, scores, self.best.rows.shape[1])
        query, column = above(scores, floor)
        counts = ~left_out[column]
        query, column = query[counts], column[counts]
        self.waiting.append((query, column + first, scores[query, column]))
        self.room -= len(query)
        if self.room < 0 or not raised:
            self.settle()

    def settle(self) -> None:
        """Keep the k best of what is known, and raise the floors to the k-th."""
        count, k = self.best.rows.shape
        known, place = np.nonzero(self.best.rows >= 0)
        held = (known, self.best.rows[known, place], self.best.scores[known, place])
        query, row, score = (np.concatenate(one) for one in zip(held, *self.waiting, strict=True))
        order = np.lexsort((row, -score, query))
        place = positions(query[order])
        order, place = order[place < k], place[place < k]
        self.best = _nothing(count, k)
        self.best.scores[query[order], place] = score[order]
        self.best.rows[query[order], place] = row[order]
        self.floor = np.maximum(self.floor, self.best.scores[:, -1])
        self.waiting, self.room = [], ROOM * count * k


def _nothing(count: int, k: int) -> Best:
    return Best(np.full((count, k), -np.inf, np.float32), np.full((count, k), -1))


def _raised(floor: Float32, scores: Float32, k: int) -> Float32:
    """A floor just under the k-th of these scores, so that the k-th itself passes."""
    place = scores.shape[1] - k
    if place <= 0:
        return floor
    own = np.partition(scores, place, axis=1)[:, place]
    return np.maximum(floor, np.nextafter(own, np.float32(-np.inf)))


def above(scores: Float32, floor: Float32) -> tuple[Rows, Rows]:
    """Where scores, (q, n), are above the floor of their query, (q,): queries and columns."""
    hits = scores > floor[:, None]
    flat = hits.ravel()
    if flat.size % 8:
        query, column = np.nonzero(hits)
        return query, column
    # Eight flags at a time: hits are rare, and looking for them costs as much as the product.
    words = np.flatnonzero(flat.view(np.uint64))
    inside, bit = np.nonzero(flat.reshape(-1, 8)[words])
    return np.divmod(words[inside] * 8 + bit, hits.shape[1])
