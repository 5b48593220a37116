"""Co-relevance: a document is asked for by the documents that answer queries together with it.

With w_ij the weight with which query i attracts point j, a walk from the point j to one of its
queries, and on to another answer of that query, ends at the point l in proportion to

    c_jl = sum_i w_ij w_il / sum_k w_ik.

Where each walk is likeliest to end, given how many queries a point answers anyway,
c_jl / sqrt(sum_i w_il), are a point's NEIGHBOURS; their shares sum to 1. Queries of kinds that the
log does not hold come near some of what they look for: what has been asked for together with it is
then brought nearer, too.

Such walks are how item-based recommendation finds like items (Sarwar et al., WWW 2001; Cooper et
al., WWW 2014 Companion), and that relevant documents are alike is the cluster hypothesis (van
Rijsbergen, 1979). To move vectors by it is not published elsewhere, as far as is known.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_matrix, diags, vstack

from nudge_sync.base.arrays import Float64

NEIGHBOURS = 10
"""Most points that a point asks for. Half or twice as many gain as much on NFCorpus and Cranfield;
without a limit NFCorpus gains hardly anything."""
MAX_ANSWERS = 200
"""Answers of a query that are looked at, the heaviest: their pairs grow with the square, and those
of a query with more say little of each other."""
_PAIRS_PER_BLOCK = 1 << 22
"""Pairs of answers that are added up at once: some 100 MB."""


def has_co_relevant_points(attraction: csr_matrix) -> bool:
    """Return whether any query has two answers.  attraction: (q, n), not negative."""
    return bool((np.asarray((attraction > 0).sum(axis=1)) > 1).any())


def find_co_relevant_points(attraction: csr_matrix) -> csr_matrix:
    """Return the shares of each point's neighbours, (n, n): rows sum to 1, or to 0 without any.

    attraction: (q, n), not negative.
    """
    attraction = _keep_heaviest(attraction, MAX_ANSWERS)
    popularity = np.asarray(attraction.sum(axis=0), np.float64).ravel()
    blocks = []
    for walks in _walk(attraction):
        neighbours = _keep_heaviest(_scale_columns(walks, np.sqrt(popularity)), NEIGHBOURS)
        blocks.append(_scale_rows(neighbours))
    return csr_matrix(vstack(blocks)) if blocks else csr_matrix((0, 0))


def _walk(attraction: csr_matrix) -> Iterator[csr_matrix]:
    """Yield c_jl, some rows j after the other: (b, n); zero where j is l."""
    asked, onward = csr_matrix(attraction.T), _scale_rows(attraction)
    pairs = (asked > 0).astype(np.float64) @ np.diff(attraction.indptr)
    for first, last in _cut_rows(pairs):
        walks = csr_matrix(asked[first:last] @ onward)
        rows = np.repeat(np.arange(first, last), np.diff(walks.indptr))
        walks.data[rows == walks.indices] = 0.0
        yield walks


def _cut_rows(pairs: Float64) -> Iterator[tuple[int, int]]:
    """Cut rows into runs of `_PAIRS_PER_BLOCK` pairs at most, or of one row.  pairs: (n,)."""
    first, total = 0, 0.0
    for row, count in enumerate(pairs.tolist()):
        if row > first and total + count > _PAIRS_PER_BLOCK:
            yield first, row
            first, total = row, 0.0
        total += count
    if first < len(pairs):
        yield first, len(pairs)


def _keep_heaviest(matrix: csr_matrix, count: int) -> csr_matrix:
    """Return a matrix with the `count` largest entries above 0 of each row; the first of equals."""
    sizes = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    least = np.zeros(len(sizes))
    for row in np.flatnonzero(sizes > count):
        entries = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]]
        least[row] = np.partition(entries, len(entries) - count)[len(entries) - count]
    chosen = np.flatnonzero((matrix.data > 0) & (matrix.data >= least[rows]))
    chosen = chosen[np.lexsort((matrix.indices[chosen], -matrix.data[chosen], rows[chosen]))]
    rank = np.arange(len(chosen)) - np.searchsorted(rows[chosen], rows[chosen])
    kept = np.sort(chosen[rank < count])
    entries = np.asarray(matrix.data[kept], np.float64)
    return csr_matrix((entries, (rows[kept], matrix.indices[kept])), shape=matrix.shape)


def _scale_rows(matrix: csr_matrix) -> csr_matrix:
    """Return a matrix whose rows sum to 1, those without an entry to 0."""
    return csr_matrix(diags(_invert(np.asarray(matrix.sum(axis=1), np.float64).ravel())) @ matrix)


def _scale_columns(matrix: csr_matrix, divisors: Float64) -> csr_matrix:
    return csr_matrix(matrix @ diags(_invert(divisors)))


def _invert(values: Float64) -> Float64:
    return np.where(values > 0, 1 / np.where(values > 0, values, 1.0), 0.0)
