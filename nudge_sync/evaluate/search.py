"""Exact search in bounded memory."""

from __future__ import annotations

import numpy as np

from nudge_sync.evaluate.task import Float32, Rows, blocks

_DOCUMENTS = 32_768
_QUERIES = 256


def top(documents: Float32, queries: Float32, k: int) -> Rows:
    """The rows of the `k` documents with the largest dot product per query, best first: (q, k).

    Of equal scores the larger row stands first, as in `nudge_sync.metrics`. Holds one block of
    scores (about 32 MB) and one of documents.
    """
    k = min(k, len(documents))
    rows = np.zeros((len(queries), 0), dtype=np.intp)
    scores = np.zeros((len(queries), 0), dtype=np.float32)
    for start, block in blocks(documents, _DOCUMENTS):
        found, found_scores = _top_of_block(block, queries, k)
        rows = np.concatenate([found + start, rows], axis=1)
        scores = np.concatenate([found_scores, scores], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        rows = np.take_along_axis(rows, order, axis=1)
        scores = np.take_along_axis(scores, order, axis=1)
    return rows


def _top_of_block(block: Float32, queries: Float32, k: int) -> tuple[Rows, Float32]:
    """Rows in descending order, which a stable sort by score keeps among ties."""
    k = min(k, len(block))
    rows = np.empty((len(queries), k), dtype=np.intp)
    scores = np.empty((len(queries), k), dtype=np.float32)
    for start in range(0, len(queries), _QUERIES):
        part = queries[start : start + _QUERIES] @ block.T
        best = np.argpartition(part, len(block) - k, axis=1)[:, len(block) - k :]
        best = -np.sort(-best, axis=1)
        rows[start : start + _QUERIES] = best
        scores[start : start + _QUERIES] = np.take_along_axis(part, best, axis=1)
    return rows, scores
