"""What a model is fine-tuned on: training queries, each with a document that answers it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Batch:
    """Queries, and documents of which one is the answer of each; most others are negatives."""

    queries: np.ndarray
    """(b,) query rows; one with several answers can be there several times."""
    documents: np.ndarray
    """(m,) document rows, each once: the answers of all queries of the batch."""
    targets: np.ndarray
    """(b,) where in `documents` the answer of each query stands."""
    other_answers: np.ndarray
    """(b, m) bool: documents that answer the query as well, and are neither target nor negative."""


def list_pairs(queries: np.ndarray, answers: list[list[int]]) -> np.ndarray:
    """Return a query row and a document row for each answer, (p, 2).

    queries: (q,) rows.  answers: one list of document rows for each of them.
    """
    pairs = zip(queries.tolist(), answers, strict=True)
    return np.array([(query, one) for query, documents in pairs for one in documents])


def draw_batches(pairs: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield every pair once, in random order, `size` at a time; the last batch may be smaller.

    pairs: (p, 2), query row and document row, no pair twice.
    """
    stride = pairs[:, 1].max() + 1
    known = pairs[:, 0] * stride + pairs[:, 1]
    order = rng.permutation(len(pairs))
    for start in range(0, len(order), size):
        queries, answers = pairs[order[start : start + size]].T
        documents, targets = np.unique(answers, return_inverse=True)
        other_answers = np.isin(queries[:, None] * stride + documents, known)
        other_answers[np.arange(len(queries)), targets] = False
        yield Batch(queries, documents, targets, other_answers)
