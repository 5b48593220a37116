"""What a ranking is worth to each query, by every metric at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.evaluate.task import Grades, RowNumbers
from nudge_sync.metrics import METRIC_NAMES, RANKING_DEPTH
from nudge_sync.planning.held_out import score_ranked_grades
from nudge_sync.solve.relevance import look_up_judgements
from nudge_sync.solve.topk import find_top_k
from nudge_sync.tuning.qrels import build_relevance_matrix


def score_queries(documents: Float32, queries: Float32, judgements: Sequence[Grades]) -> Float64:
    """Search exactly by dot product, and return every metric for every query.

    Returns (q, metrics), columns in the order of `METRIC_NAMES`.
    """
    run = find_top_k(queries, documents, RANKING_DEPTH, similarity="dot").rows
    return score_run(run, judgements)


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
