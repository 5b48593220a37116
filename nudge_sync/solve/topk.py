"""The best documents of each query, exactly, without ever holding a queries x documents matrix.

A matrix product by blocks. Of each block only the best of every few documents is compared with a
query's k-th best so far, and where that one gets in its few are looked at: soon hardly any does.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.threads import count_cores, map_in_threads
from nudge_sync.solve.line_search.paths import chunks
from nudge_sync.solve.nudge_n import TINY, lengths, single
from nudge_sync.solve.problem import Float32, Rows, Similarity
from nudge_sync.solve.relevance import positions

QUERY_BLOCK, DOCUMENT_BLOCK = 1024, 2048
ROUNDING = 2e-6
"""Squared lengths this near to 1 are 1 in float32."""
GROUPS = (16, 8, 4, 2, 1)
"""Documents of which the best is looked at first; fewer where k is large."""
ROOM = 2
"""How many times k scores a query may wait before the k best of them are kept."""
LOWEST = np.finfo(np.float32).min


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
    parts = list(chunks(len(queries), QUERY_BLOCK))
    tables = [_Table(queries[part], k, None if floor is None else floor[part]) for part in parts]
    blocks = list(chunks(len(documents), DOCUMENT_BLOCK))
    ahead = iter(blocks)

    def search(_: slice) -> None:
        # The same memory each time: fresh pages would cost as much as the comparison.
        memory = np.empty(DOCUMENT_BLOCK * min(QUERY_BLOCK, len(queries)), np.float32)
        for rows in ahead:
            block, missing = _block(documents[rows], left_out[rows], similarity)
            for table in tables:
                table.add(block, missing, rows.start, memory)

    map_in_threads(search, blocks[: count_cores()])
    found = [table.best() for table in tables] or [_nothing(0, k)]
    return Best(
        np.concatenate([one.scores for one in found]), np.concatenate([one.rows for one in found])
    )


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
    """The best so far of a block of queries, and what still gets in; for several threads."""

    def __init__(self, queries: Float32, k: int, floor: Float32 | None) -> None:
        self.queries, self.k = queries, k
        self.floor = np.full(len(queries), LOWEST, np.float32)
        """(q,): what a document has to score at least."""
        if floor is not None:
            self.floor = np.maximum(self.floor, np.nextafter(floor, np.float32(np.inf)))
        self.group = next(size for size in GROUPS if size * 4 * k <= DOCUMENT_BLOCK or size == 1)
        self.waiting: list[tuple[Rows, Rows, Float32]] = []
        self.room = self.most = ROOM * k * len(queries)
        self.lock = Lock()

    def add(
        self, documents: Float32, left_out: NDArray[np.bool_], first: int, memory: Float32
    ) -> None:
        """Take in a block of documents, whose rows count from `first`."""
        scores = self._scores(documents, left_out, memory)
        top = scores.max(axis=1)
        group, query = np.nonzero(top >= self.floor)
        if len(query) > self.most:
            self._raise(_nth(top, self.k))
            group, query = np.nonzero(top >= self.floor)
        few = scores[group, :, query]
        at, place = np.nonzero(few >= self.floor[query, None])
        row = first + group[at] * self.group + place
        self._keep(query[at], row, few[at, place])

    def _scores(self, documents: Float32, left_out: NDArray[np.bool_], memory: Float32) -> Float32:
        """(groups, documents of each, q): the last one filled up with -inf."""
        count, width = len(documents), len(self.queries)
        groups = -(-count // self.group)
        table = memory[: groups * self.group * width].reshape(-1, width)
        np.matmul(documents, self.queries.T, out=table[:count])
        table[count:] = -np.inf
        table[:count][left_out] = -np.inf
        return table.reshape(groups, self.group, width)

    def _raise(self, floor: Float32) -> None:
        with self.lock:
            self.floor = np.maximum(self.floor, floor)

    def _keep(self, query: Rows, row: Rows, score: Float32) -> None:
        with self.lock:
            self.waiting.append((query, row, score))
            self.room -= len(query)
            if self.room < 0:
                self._settle()

    def _settle(self) -> None:
        """Keep the k best of what waits, and raise the floor to the k-th."""
        query, row, score = (np.concatenate(one) for one in zip(*self.waiting, strict=True))
        order = np.lexsort((row, -score, query))
        query, row, score = query[order], row[order], score[order]
        place = positions(query)
        last = place == self.k - 1
        floor = self.floor.copy()
        floor[query[last]] = np.maximum(floor[query[last]], score[last])
        self.floor = floor
        kept = place < self.k
        self.waiting = [(query[kept], row[kept], score[kept])]
        self.room = self.most

    def best(self) -> Best:
        """The k best of all that was added."""
        found = _nothing(len(self.queries), self.k)
        if self.waiting:
            self._settle()
            query, row, score = self.waiting[0]
            place = positions(query)
            found.scores[query, place], found.rows[query, place] = score, row
        return found


def _nothing(count: int, k: int) -> Best:
    return Best(np.full((count, k), -np.inf, np.float32), np.full((count, k), -1))


def _nth(scores: Float32, n: int) -> Float32:
    """The n-th best score of each column; LOWEST where there are fewer."""
    if len(scores) < n:
        return np.full(scores.shape[1], LOWEST, np.float32)
    return np.asarray(np.partition(scores, len(scores) - n, axis=0)[len(scores) - n])
