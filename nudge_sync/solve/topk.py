"""Exact top-k search that never holds a queries x documents matrix.

Scores are a matrix product, block by block. Documents of a block are put in groups of a few, and
only the best of a group is compared with a query's k-th best score so far; the group is opened
where that one is higher, which soon hardly ever happens.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.threads import count_threads, map_in_threads
from nudge_sync.solve.geometry import MIN_LENGTH, lengths, to_float32
from nudge_sync.solve.problem import Rows, Similarity
from nudge_sync.solve.relevance import index_in_group

_QUERIES_PER_BLOCK, _DOCUMENTS_PER_BLOCK = 1024, 2048
UNIT_TOLERANCE = 2e-6
"""Largest distance of a squared length from 1 for a row that counts as a unit vector."""
GROUP_SIZES = (16, 8, 4, 2, 1)
"""Documents per group, to choose from: smaller groups where k is large."""
PENDING_FACTOR = 2
"""Scores that may wait for each query, in multiples of k, before all but the k best are dropped."""
LOWEST_SCORE = np.finfo(np.float32).min
"""Floor of a query that has none: below every finite score, above -inf."""


@dataclass(frozen=True)
class TopK:
    """The best documents of each query, best first; of equal scores the smaller row first."""

    scores: Float32
    """(q, k): -inf where there are fewer than k."""
    rows: Rows
    """(q, k): -1 where there are fewer than k."""


def find_top_k(
    queries: Float32,
    documents: NDArray[np.floating],
    k: int,
    *,
    skip: Rows | None = None,
    similarity: Similarity = "cosine",
    floor: Float32 | None = None,
    excluded: csr_matrix | None = None,
) -> TopK:
    """Return the `k` best of `documents`, (n, d), for each of `queries`, (q, d), unit rows.

    documents may be a memory-mapped array of any float type; it is read in blocks.
    skip: rows to leave out, ascending.  floor: (q,); a document that scores at or below its
    query's floor is left out.  excluded: (q, n); a document is left out for the queries that have
    a nonzero entry for it.  Documents that are not finite are left out.
    """
    left_out = np.zeros(len(documents), np.bool_)
    left_out[skip if skip is not None else []] = True
    parts = list_chunks(len(queries), _QUERIES_PER_BLOCK)
    tables = [
        _TopKTable(
            queries[part],
            k,
            None if floor is None else floor[part],
            None if excluded is None else _transpose(excluded[part]),
        )
        for part in parts
    ]
    blocks = list_chunks(len(documents), _DOCUMENTS_PER_BLOCK)
    remaining_blocks = iter(blocks)

    def search(_: slice) -> None:
        # The same memory each time: fresh pages would cost as much as the comparison.
        memory = np.empty(_DOCUMENTS_PER_BLOCK * min(_QUERIES_PER_BLOCK, len(queries)), np.float32)
        for rows in remaining_blocks:
            block, missing = _prepare_block(documents[rows], left_out[rows], similarity)
            for table in tables:
                table.add(block, missing, rows.start, memory)

    map_in_threads(search, blocks[: count_threads()])
    results = [table.collect() for table in tables] or [_empty_top_k(0, k)]
    return TopK(
        np.concatenate([result.scores for result in results]),
        np.concatenate([result.rows for result in results]),
    )


def _transpose(excluded: csr_matrix) -> csr_matrix:
    """Return the nonzero entries, (n, q)."""
    transposed = csr_matrix(excluded.T)
    transposed.eliminate_zeros()
    return transposed


def _prepare_block(
    documents: NDArray[np.floating], left_out: NDArray[np.bool_], similarity: Similarity
) -> tuple[Float32, NDArray[np.bool_]]:
    """Return documents in float32, scaled as the similarity asks, and a mask of those to skip."""
    block = to_float32(documents)
    with np.errstate(over="ignore", invalid="ignore"):
        square = np.einsum("ij,ij->i", block, block)
    if not np.isfinite(square).all():
        usable = np.asarray(np.isfinite(block).all(axis=1))
        block = np.where(usable[:, None], block, np.float32(0))
        left_out = left_out | ~usable
    if similarity == "cosine" and (np.abs(square - 1) > UNIT_TOLERANCE).any():
        length = lengths(block)
        block = (block / np.where(length > MIN_LENGTH, length, 1.0)[:, None]).astype(np.float32)
    return block, left_out


class _TopKTable:
    """The best documents so far of a block of queries; several threads may add to it."""

    def __init__(
        self, queries: Float32, k: int, floor: Float32 | None, excluded: csr_matrix | None
    ) -> None:
        self.queries, self.k = queries, k
        self.excluded = excluded
        """(n, q), without zeros."""
        self.floor = np.full(len(queries), LOWEST_SCORE, np.float32)
        """(q,): the least score with which a document can still be among the k best."""
        if floor is not None:
            self.floor = np.maximum(self.floor, np.nextafter(floor, np.float32(np.inf)))
        self.group_size = next(
            size for size in GROUP_SIZES if size * 4 * k <= _DOCUMENTS_PER_BLOCK or size == 1
        )
        self.pending: list[tuple[Rows, Rows, Float32]] = []
        self.room = self.max_pending = PENDING_FACTOR * k * len(queries)
        self.lock = Lock()

    def add(
        self, documents: Float32, left_out: NDArray[np.bool_], first: int, memory: Float32
    ) -> None:
        """Score a block of documents, and keep those that can be among the k best.

        first: the row of the block's first document.  memory: scratch space for the scores.
        """
        scores = self._score_block(documents, left_out, first, memory)
        group_best = scores.max(axis=1)
        group, query = np.nonzero(group_best >= self.floor)
        if len(query) > self.max_pending:
            self._raise_floor(_nth_best(group_best, self.k))
            group, query = np.nonzero(group_best >= self.floor)
        group_scores = scores[group, :, query]
        pair, offset = np.nonzero(group_scores >= self.floor[query, None])
        row = first + group[pair] * self.group_size + offset
        self._add_pending(query[pair], row, group_scores[pair, offset])

    def _score_block(
        self, documents: Float32, left_out: NDArray[np.bool_], first: int, memory: Float32
    ) -> Float32:
        """Return the scores, (groups, group size, q), in `memory`; -inf for what does not count."""
        count, width = len(documents), len(self.queries)
        groups = -(-count // self.group_size)
        table = memory[: groups * self.group_size * width].reshape(-1, width)
        np.matmul(documents, self.queries.T, out=table[:count])
        table[count:] = -np.inf
        table[:count][left_out] = -np.inf
        if self.excluded is not None:
            starts = self.excluded.indptr[first : first + count + 1]
            rows = np.repeat(np.arange(count), np.diff(starts))
            table[rows, self.excluded.indices[starts[0] : starts[-1]]] = -np.inf
        return table.reshape(groups, self.group_size, width)

    def _raise_floor(self, floor: Float32) -> None:
        """Raise the floor of each query to the given one where that is higher."""
        with self.lock:
            self.floor = np.maximum(self.floor, floor)

    def _add_pending(self, query: Rows, row: Rows, score: Float32) -> None:
        """Let scores wait, and drop all but the k best once too many do."""
        with self.lock:
            self.pending.append((query, row, score))
            self.room -= len(query)
            if self.room < 0:
                self._prune_pending()

    def _prune_pending(self) -> None:
        """Keep the k best scores of each query, and raise its floor to the k-th."""
        query, row, score = (np.concatenate(columns) for columns in zip(*self.pending, strict=True))
        order = np.lexsort((row, -score, query))
        query, row, score = query[order], row[order], score[order]
        rank = index_in_group(query)
        last = rank == self.k - 1
        floor = self.floor.copy()
        floor[query[last]] = np.maximum(floor[query[last]], score[last])
        self.floor = floor
        is_kept = rank < self.k
        self.pending = [(query[is_kept], row[is_kept], score[is_kept])]
        self.room = self.max_pending

    def collect(self) -> TopK:
        """Return the k best of all documents that were added."""
        result = _empty_top_k(len(self.queries), self.k)
        if self.pending:
            self._prune_pending()
            query, row, score = self.pending[0]
            rank = index_in_group(query)
            result.scores[query, rank], result.rows[query, rank] = score, row
        return result


def _empty_top_k(count: int, k: int) -> TopK:
    """Return the result of `count` queries that found nothing."""
    return TopK(np.full((count, k), -np.inf, np.float32), np.full((count, k), -1))


def _nth_best(scores: Float32, n: int) -> Float32:
    """Return the n-th best score of each column; LOWEST_SCORE where there are fewer."""
    if len(scores) < n:
        return np.full(scores.shape[1], LOWEST_SCORE, np.float32)
    return np.asarray(np.partition(scores, len(scores) - n, axis=0)[len(scores) - n])
