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

QUERY_BLOCK, DOCUMENT_BLOCK = 1024, 2048
ROUNDING = 1e-6
"""Lengths this near to 1 are 1 in float32."""


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
    keep = np.ones(len(documents), np.bool_)
    keep[skip if skip is not None else []] = False
    tables = [
        _Table(len(queries[part]), k, floor[part] if floor is not None else None)
        for part in chunks(len(queries), QUERY_BLOCK)
    ]
    for rows in chunks(len(documents), DOCUMENT_BLOCK):
        numbers = np.flatnonzero(keep[rows])
        if len(numbers):
            block, numbers = _block(documents[rows], numbers, similarity)
            for part, table in zip(chunks(len(queries), QUERY_BLOCK), tables, strict=True):
                table.add(queries[part] @ block.T, numbers + rows.start)
    for table in tables:
        table.settle()
    empty = Best(np.empty((0, k), np.float32), np.empty((0, k), np.int64))
    done = [table.best for table in tables] or [empty]
    return Best(
        np.concatenate([one.scores for one in done]), np.concatenate([one.rows for one in done])
    )


def _block(
    rows: NDArray[np.floating], numbers: Rows, similarity: Similarity
) -> tuple[Float32, Rows]:
    """The usable rows among `numbers`, scaled as the similarity asks, and their numbers."""
    block = single(rows if len(numbers) == len(rows) else rows[numbers])
    length = lengths(block)
    usable = np.isfinite(length)
    if not usable.all():
        block, length, numbers = block[usable], length[usable], numbers[usable]
    if similarity == "cosine" and (np.abs(length - 1) > ROUNDING).any():
        block = (block / np.where(length > TINY, length, 1.0)[:, None]).astype(np.float32)
    return block, numbers


class _Table:
    """The best so far of a block of queries, and what may still get in."""

    def __init__(self, count: int, k: int, floor: Float32 | None) -> None:
        self.best = Best(np.full((count, k), -np.inf, np.float32), np.full((count, k), -1))
        self.floor = np.full(count, -np.inf, np.float32) if floor is None else floor.copy()
        self.waiting: list[tuple[Rows, Rows, Float32]] = []
        self.room = 8 * count * k

    def add(self, scores: Float32, rows: Rows) -> None:
        """Take in the scores of some documents: (q, rows)."""
        k = self.best.rows.shape[1]
        floor = self.floor
        if not np.isfinite(floor).all() and scores.shape[1] > 4 * k:
            own = np.partition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k]
            # One step down, so that the k-th itself passes.
            floor = np.maximum(floor, np.nextafter(own, np.float32(-np.inf)))
        query, column = above(scores, floor)
        self.waiting.append((query, rows[column], scores[query, column]))
        self.room -= len(query)
        if self.room < 0 or not np.isfinite(self.floor).all():
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
        self.best = Best(np.full((count, k), -np.inf, np.float32), np.full((count, k), -1))
        self.best.scores[query[order], place] = score[order]
        self.best.rows[query[order], place] = row[order]
        self.floor = np.maximum(self.floor, self.best.scores[:, -1])
        self.waiting, self.room = [], 8 * count * k


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
