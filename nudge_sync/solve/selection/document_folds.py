"""Cross-validation by documents: hide the judgements of some, and score queries on those alone.

Labels lie on documents that move, so ordinary validation cannot see what a method does to documents
that nobody has judged. Here a fold of the judged documents loses its judgements in training. Their
answers are then *cold*, all others *warm*; a query is scored on either alone, its other answers
being taken out of the ranking, so that a right answer in front is no loss.
"""

from __future__ import annotations

import numpy as np

from nudge_sync.base.arrays import Float32, Int64
from nudge_sync.solve.relevance import has_answer
from nudge_sync.solve.task import (
    MAX_VALIDATION_QUERIES,
    SolverTask,
    ValidationSplit,
    keep_some,
    mask_judgements,
)

SUGGESTED_COLD_SHARE = 0.5
"""Weight of cold answers where nothing is known of their share: both kinds count alike. Feedback
cannot tell the share, since it lies on documents that were shown."""
DOCUMENT_FOLDS = 5
"""Number of folds of documents; each split of the queries hides one of them."""
MIN_HIDDEN_DOCUMENTS = 75
"""Documents hidden in turn at least, if there are as many: a few could be unlike all others."""
_HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_LOW_BITS, _HALF_SHIFT, _HASH_SHIFT = np.uint64(16), np.uint64(29), np.uint64(40)


def hash_rows(rows: Float32) -> Int64:
    """Return a number from 0 to 2**24 - 1 for each row: (n,), whatever rows stand beside it.

    The last 16 bits of each number do not count: some databases change the last few by themselves.
    """
    bits = np.ascontiguousarray(rows, np.float32).view(np.uint32).astype(np.uint64) >> _LOW_BITS
    sums = bits @ np.cumprod(np.full(bits.shape[1], _HASH_MULTIPLIER))
    mixed = (sums ^ (sums >> _HALF_SHIFT)) * _HASH_MULTIPLIER
    return np.asarray(mixed >> _HASH_SHIFT, np.int64)


def hide_documents(task: SolverTask, splits: list[ValidationSplit]) -> list[ValidationSplit]:
    """Hide one fold of documents in each split of the queries.

    A single split is repeated with other folds until enough documents have been hidden.
    Queries validate on their warm answers where they do so in `splits`. On cold answers validate
    the same queries, and those that cannot train since all their answers are hidden; but only where
    a hidden answer attracts. One that is too doubtful for that is mostly none, and nearly every
    result that people saw is such a one: they would outnumber the answers, and hide what those
    lose. Splits that leave nothing to train on, or nothing to validate on, are left out.
    """
    folds = hash_rows(task.points) % DOCUMENT_FOLDS
    relevance, attraction = task.queries.relevance, task.attraction
    hidden_splits = []
    needed = -(-MIN_HIDDEN_DOCUMENTS * DOCUMENT_FOLDS // max(1, len(folds)))
    rounds = max(len(splits), min(DOCUMENT_FOLDS, needed)) if splits else 0
    for number in range(rounds):
        split = splits[number % len(splits)]
        hidden = folds == number % DOCUMENT_FOLDS
        has_warm = has_answer(mask_judgements(attraction, hidden))
        has_cold = has_answer(mask_judgements(attraction, ~hidden))
        train = split.train & ~(has_cold & ~has_warm)
        validation = split.validation & has_answer(mask_judgements(relevance, hidden))
        if (train & has_warm).any() and validation.any():
            asked = has_cold & (split.validation | ~has_warm)
            cold_validation = keep_some(asked, MAX_VALIDATION_QUERIES)
            hidden_splits.append(ValidationSplit(train, validation, hidden, cold_validation))
    return hidden_splits
