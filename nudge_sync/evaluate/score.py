"""What a ranking is worth to each query, by every metric at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.evaluate.task import Grades, RowNumbers
from nudge_sync.metrics import METRIC_NAMES, RANKING_DEPTH
from nudge_sync.planning.held_out import score_ranked_grades
from nudge_sync.solve.relevance import look_up_judgements
from nudge_sync.solve.topk import find_top_k
from nudge_sync.tuning.qrels import build_relevance_matrix

RankDocuments: TypeAlias = Callable[[Float32, csr_matrix | None], RowNumbers]
"""Ranks the documents for queries (q, d) without excluded (q, n) ones: (q, RANKING_DEPTH) rows,
best first, -1 for none."""


def score_queries(
    documents: Float32,
    queries: Float32,
    judgements: Sequence[Grades],
    counted: NDArray[np.bool_] | None = None,
    rank: RankDocuments | None = None,
) -> Float64:
    """Search exactly by dot product, and return every metric for every query.

    counted: (n,), the documents whose answers count; a query's other answers leave its ranking.
    None: all do.  rank: what ranks instead.
    Returns (q, metrics), columns in the order of `METRIC_NAMES`.
    """
    if counted is None:
        return score_run(_rank(queries, documents, None, rank), judgements)
    left_out = [
        {row for row, grade in grades.items() if grade > 0 and not counted[row]}
        for grades in judgements
    ]
    excluded = build_relevance_matrix(left_out, len(queries), len(documents), "judgements")
    run = _rank(queries, documents, excluded, rank)
    kept = [
        {row: grade for row, grade in grades.items() if row not in others}
        for grades, others in zip(judgements, left_out, strict=True)
    ]
    return score_run(run, kept)


def _rank(
    queries: Float32,
    documents: Float32,
    excluded: csr_matrix | None,
    rank: RankDocuments | None,
) -> RowNumbers:
    if rank is not None:
        return rank(queries, excluded)
    return find_top_k(queries, documents, RANKING_DEPTH, similarity="dot", excluded=excluded).rows


def score_run(run: RowNumbers, judgements: Sequence[Grades]) -> Float64:
    """Return every metric for every query: (q, metrics), columns in the order of `METRIC_NAMES`.

    run: (q, k) document rows, best first; -1 where nothing was found.
    """
    last_row = max([int(run.max(initial=-1)), *(max(grades, default=-1) for grades in judgements)])
    relevance = build_relevance_matrix(judgements, len(judgements), last_row + 1, "judgements")
    query, rank = np.nonzero(run[:, :RANKING_DEPTH] >= 0)
    run_grades = np.zeros((len(run), RANKING_DEPTH))
    run_grades[query, rank] = look_up_judgements(relevance, query, run[query, rank])
    scores = score_ranked_grades(run_grades, relevance)
    return np.column_stack([scores[name] for name in METRIC_NAMES])
