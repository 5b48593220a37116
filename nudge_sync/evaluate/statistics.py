"""How sure a mean gain is: bootstrap intervals and a paired permutation test.

The unit is the question. Queries that ask the same, and the seeds that test a query, are one
observation, which is drawn, or has its sign flipped, as a whole: neither seeds nor repeated labels
add any question. `sum_by_question` puts them together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nudge_sync.base.arrays import Float64, Int64, number_by_appearance

RESAMPLES = 10_000
RESAMPLING_SEED = 20250424
"""What every resampling starts from, so that the same study gives the same figures."""
_NUMBERS_PER_BATCH = 4_000_000
"""Numbers held in memory at once while resampling (32 MB)."""


def sum_by_question(values: Float64, questions: Int64) -> Float64:
    """Sum the rows of each question, (n, ...), in the order in which questions first appear.

    values: (q, ...).  questions: (q,), the number of each query's question.
    """
    question = number_by_appearance(questions)
    sums = np.zeros((int(question.max(initial=-1)) + 1, *values.shape[1:]))
    np.add.at(sums, question, values)
    return sums


def bootstrap_intervals(
    totals: Float64,
    counts: Float64,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> tuple[Float64, Float64]:
    """Estimate percentile intervals of the mean gain, one a column: (columns,) low and high.

    totals: (questions, columns), a question's gain summed over its queries and the seeds that
    tested them.  counts: (questions,), how many tests these were.
    The mean is sum(totals) / sum(counts).
    """
    queries = len(totals)
    observed = np.column_stack([totals, counts]).astype(np.float64)
    means = []
    for size in _batch_sizes(resamples, queries):
        draws = rng.multinomial(queries, np.full(queries, 1 / queries), size=size)
        sums = draws.astype(np.float64) @ observed
        means.append(sums[:, :-1] / sums[:, -1:])
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail], axis=0)
    return low, high


def permutation_p(
    totals: Float64, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Float64:
    """Return the two-sided p value of "no difference", one a column: (columns,).

    totals: (questions, columns), paired gains. If there is no difference, a question's gain is as
    likely to have the other sign. p is the share of sign flips, the observed one included, whose
    sum is at least as far from zero as the observed sum.
    """
    # Sums of the same numbers in another order differ in the last bits.
    bound = np.abs(totals.sum(axis=0)) * (1 - 1e-12)
    beyond = np.ones(totals.shape[1])
    for size in _batch_sizes(resamples, len(totals)):
        signs = 2.0 * rng.integers(0, 2, size=(size, len(totals)), dtype=np.int8) - 1.0
        beyond += (np.abs(signs @ totals) >= bound).sum(axis=0)
    return beyond / (resamples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number by Holm's step-down method; return them in their order."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(order))
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, p_values[index] * (len(order) - rank)))
        corrected[index] = highest
    return corrected.tolist()


def _batch_sizes(resamples: int, queries: int) -> list[int]:
    size = max(1, min(resamples, _NUMBERS_PER_BATCH // max(1, queries)))
    whole, rest = divmod(resamples, size)
    return [size] * whole + ([rest] if rest else [])
