"""What benchmarks on the protocols of `evaluate` share: tasks, splits, and how figures look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy.stats import t as student

from common.solver_protocol import load_dataset
from nudge_sync.evaluate.methods import TrainedMethod
from nudge_sync.evaluate.protocol import split_task
from nudge_sync.evaluate.split import QuerySplit
from nudge_sync.evaluate.study import Study
from nudge_sync.evaluate.task import EvaluationTask, drop_unanswered_queries, scale_to_unit
from nudge_sync.metrics import METRIC_NAMES

METRIC = "ndcg@10"
CLUSTERS = "k=2"
"""The condition of `leave-cluster-out` that is measured."""
MAX_SETTINGS_WIDTH = 60
TestScores: TypeAlias = tuple[QuerySplit, dict[str, np.ndarray]]
"""A split, and for each of its test parts what each query scores, in points."""


def load_task(name: str, folder: Path | None, cold_share: float) -> EvaluationTask:
    data = load_dataset(name, folder)
    rows = np.arange(len(data.queries))
    judgements = [
        {row: grade for row, grade in grades.items() if grade} for grades in data.relevant(rows)
    ]
    return drop_unanswered_queries(
        EvaluationTask(
            name,
            scale_to_unit(data.documents.astype(np.float32)),
            scale_to_unit(data.queries.astype(np.float32)),
            judgements,
            [str(row) for row in range(len(data.documents))],
            [str(row) for row in rows],
            similarity="cosine",
            cold_share=cold_share,
        )
    )


def score_split(study: Study, split: QuerySplit, trained: TrainedMethod) -> dict[str, np.ndarray]:
    """Return the metric of each query of each test part, in points."""
    column, scores = METRIC_NAMES.index(METRIC), {}
    for part in split.tests:
        values = study.score_part(split, part, trained.documents, trained.queries, trained.rank)
        scores[part] = 100 * values[:, column]
    return scores


def list_splits(
    task: EvaluationTask, protocol: str, seeds: list[int]
) -> list[tuple[int, QuerySplit]]:
    splits = [(seed, split) for seed in seeds for split in split_task(task, protocol, seed)]
    is_clustered = protocol == "leave-cluster-out"
    return [(seed, one) for seed, one in splits if not is_clustered or one.condition == CLUSTERS]


def format_cell(sums: np.ndarray, baseline: np.ndarray, counts: np.ndarray) -> str:
    """Format a mean, and its gain over nothing with half of its interval over the queries.

    sums: (q,), over the seeds that test a query.  counts: (q,), how many these are. A query is one
    observation, however many seeds test it.
    """
    mean = sums.sum() / counts.sum()
    if sums is baseline:
        return f"{mean:.1f}"
    rows = counts > 0
    gain, per_query = mean - baseline.sum() / counts.sum(), (sums - baseline)[rows] / counts[rows]
    width = student.ppf(0.975, rows.sum() - 1) * per_query.std(ddof=1) / np.sqrt(rows.sum())
    return f"{mean:.1f} {gain:+.1f}\N{PLUS-MINUS SIGN}{width:.1f}"


def sum_scores(
    trials: Sequence[TestScores], part: str, query_count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sum the scores of each query in a test part over the seeds that test it.

    Returns the sums, (query_count,), and how many seeds these are, (query_count,).
    """
    sums, counts = np.zeros(query_count), np.zeros(query_count)
    for split, scores in trials:
        sums[split.tests[part]] += scores[part]
        counts[split.tests[part]] += 1
    return sums, counts


def print_parts(
    task: EvaluationTask,
    method: str,
    results: dict[str, list[TestScores]],
    baseline: str,
    settings: dict,
) -> None:
    """Print a line of one method for each test part.  baseline: the method that gains are over."""
    for part in dict.fromkeys(part for _, scores in results[method] for part in scores):
        sums, counts = sum_scores(results[method], part, len(task.queries))
        baseline_sums = (
            sums
            if method == baseline
            else sum_scores(results[baseline], part, len(task.queries))[0]
        )
        cell = format_cell(sums, baseline_sums, counts)
        described = str(settings)[:MAX_SETTINGS_WIDTH]
        print(f"  {method:20} {part:15} {cell:20} {described}", flush=True)
