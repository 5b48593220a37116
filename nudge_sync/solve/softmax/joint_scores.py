"""The score of one point that weighs in a softmax as much as many."""

from __future__ import annotations

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.threads import map_in_threads
from nudge_sync.solve.topk import LOWEST_SCORE

MIN_EXPONENT = -80.0
"""Lowest exponent taken: exp(-80) is small, and no product with it becomes a subnormal float32."""
_SCORES_PER_CHUNK = 1 << 20
"""Scores summed up at once by each thread: 16 MB of arrays."""


def join_scores(
    queries: Float32, vectors: Float32, unjudged_scores: Float32, tau: float
) -> Float32:
    """Return the score s of one point that weighs in the softmax as much as all given ones: (q,).

    exp(tau s) = sum_j exp(tau s_j) over the products with `vectors`, (n, d), and over
    unjudged_scores, (q, k).  -inf for a query without any.
    """
    joint = np.full(len(queries), -np.inf, np.float32)
    size = max(1, _SCORES_PER_CHUNK // max(1, len(vectors) + unjudged_scores.shape[1]))

    def join(rows: slice) -> None:
        scores = np.concatenate([queries[rows] @ vectors.T, unjudged_scores[rows]], axis=1)
        top = scores.max(axis=1, initial=LOWEST_SCORE)[:, None]
        odds = np.exp(np.maximum(tau * (scores - top), MIN_EXPONENT), dtype=np.float64)
        total = np.where(np.isneginf(scores), 0.0, odds).sum(axis=1)
        has_any = total > 0
        sharpened = np.log(np.where(has_any, total, 1.0)) / tau
        joint[rows] = np.where(has_any, top[:, 0] + sharpened, -np.inf)

    map_in_threads(join, list_chunks(len(queries), size))
    return joint
