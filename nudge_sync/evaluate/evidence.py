"""What a gain depends on: the angle, and how often the answers were judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, pairwise

import numpy as np

from nudge_sync.base.arrays import Float64
from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import MethodName
from nudge_sync.evaluate.methods import EvaluatedMethod, move_documents
from nudge_sync.evaluate.split import QuerySplit
from nudge_sync.evaluate.statistics import RESAMPLING_SEED, bootstrap_intervals, sum_by_question
from nudge_sync.evaluate.study import Study, list_seeds
from nudge_sync.evaluate.task import EvaluationTask, RowNumbers
from nudge_sync.metrics import METRIC_NAMES

ANGLE_METHODS: tuple[MethodName, ...] = ("nudge-n", "nudge-c")
"""The methods that take a fixed angle."""
MAX_CURVE_SEEDS = 2
"""The most seeds that a curve is drawn from: each angle of each seed is a training of its own."""
CURVE_ANGLES = tuple(np.radians([2, 5, 8, 12, 16, 20, 25, 30, 35, 40, 50, 60]).tolist())
"""Radians."""
BIN_EDGES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Training queries of an answer: the upper edges of the bins, each edge inside its bin."""
MIN_BIN_QUERIES = 5
"""The fewest queries of a bin that is shown: an interval of two observations says nothing."""


@dataclass(frozen=True, slots=True)
class GainIntervals:
    """Mean gains with their intervals, one entry for each angle or method."""

    mean: Float64
    low: Float64
    high: Float64


@dataclass(frozen=True, slots=True)
class GainCurve:
    """The gain of a method by fixed angles, on the test queries of the first protocol."""

    method: MethodName
    angles: tuple[float, ...]
    """Radians."""
    gain: GainIntervals
    chosen_angles: tuple[float, ...]
    """The angle that the validation queries of each seed chose; only for seeds that chose one."""


@dataclass(frozen=True, slots=True)
class JudgementBin:
    """The test queries whose answers were judged equally often in training, or nearly."""

    label: str
    """How many training queries each answer has on average, such as "none" or "up to 1"."""
    queries: int
    """How many test queries these are."""
    gain: dict[EvaluatedMethod, tuple[float, float, float]]
    """The mean gain of each method, and the ends of its interval."""


def measure_gain_by_angle(study: Study, progress: Progress = ignore_progress) -> list[GainCurve]:
    """Measure the gain by fixed angles, for the methods of the study that take one."""
    methods = [method for method in ANGLE_METHODS if method in study.settings.methods]
    seeds = list_seeds(study.settings.protocols[0], study.settings)[:MAX_CURVE_SEEDS]
    counter = count(1)
    total = len(methods) * len(seeds) * len(CURVE_ANGLES)
    progress("angles", 0, total)
    return [
        _measure_curve(study, method, lambda: progress("angles", next(counter), total))
        for method in methods
    ]


def _measure_curve(
    study: Study, method: MethodName, report_progress: Callable[[], None]
) -> GainCurve:
    protocol = study.settings.protocols[0]
    part = study.part_names(protocol)[0]
    metric_column = METRIC_NAMES.index(study.settings.metric)
    totals = np.zeros((len(study.baseline), len(CURVE_ANGLES)))
    counts = np.zeros(len(study.baseline))
    trials = study.select_trials(protocol, method, part)
    for trial in trials[:MAX_CURVE_SEEDS]:
        split, scores = study.find_split(trial), trial.tests[part]
        counts[scores.rows] += 1
        for column, angle in enumerate(CURVE_ANGLES):
            values = _score_angle(study, split, part, method, angle)
            totals[scores.rows, column] += (values - scores.baseline)[:, metric_column]
            report_progress()
    chosen_angles = [trial.parameters.get("angle", trial.parameters.get("cap")) for trial in trials]
    return GainCurve(
        method,
        CURVE_ANGLES,
        _estimate_intervals(study, totals, counts),
        tuple(float(angle) for angle in chosen_angles if angle is not None),
    )


def _score_angle(
    study: Study, split: QuerySplit, part: str, method: MethodName, angle: float
) -> Float64:
    trained = move_documents(study.task, split, method, study.settings.metric, angle)
    return study.score_part(split, part, trained.documents, trained.queries)


def _estimate_intervals(study: Study, totals: Float64, counts: Float64) -> GainIntervals:
    rows = np.flatnonzero(counts)
    questions = study.task.number_questions()[rows]
    low, high = bootstrap_intervals(
        sum_by_question(totals[rows], questions),
        sum_by_question(counts[rows], questions),
        rng=np.random.default_rng(RESAMPLING_SEED),
        confidence=study.settings.confidence,
        resamples=study.settings.resamples,
    )
    return GainIntervals(totals.sum(axis=0) / counts.sum(), low, high)


def measure_gain_by_judgements(study: Study) -> list[JudgementBin]:
    """Measure the gain by how many training queries each answer of a test query has on average.

    On the first test part of the first protocol. Bins with fewer than `MIN_BIN_QUERIES` queries
    are left out.
    """
    protocol = study.settings.protocols[0]
    part = study.part_names(protocol)[0]
    methods = [method for method in study.settings.methods if method != "nothing"]
    column = METRIC_NAMES.index(study.settings.metric)
    totals = np.zeros((len(BIN_EDGES) + 2, len(study.baseline), len(methods)))
    counts = np.zeros((len(BIN_EDGES) + 2, len(study.baseline)))
    trials = [study.select_trials(protocol, method, part) for method in methods]
    for same_split in zip(*trials, strict=True):
        split, rows = study.find_split(same_split[0]), same_split[0].tests[part].rows
        counted = count_training_judgements(study.task, split.train, rows, split.task)
        bin_index = _assign_bins(counted)
        counts[bin_index, rows] += 1
        for index, trial in enumerate(same_split):
            totals[bin_index, rows, index] += trial.tests[part].gains[:, column]
    return [
        _build_bin(study, label, totals[bin_index], counts[bin_index], methods)
        for bin_index, label in enumerate(_bin_labels())
        if np.count_nonzero(counts[bin_index]) >= MIN_BIN_QUERIES
    ]


def count_training_judgements(
    task: EvaluationTask,
    train: RowNumbers,
    rows: RowNumbers,
    learned: EvaluationTask | None = None,
) -> Float64:
    """Return how many training queries attract an answer, on average over each query's answers.

    train, rows: training queries and test queries.  learned: the task with the judgements that
    were learned from, where these are others. Returns (rows,).
    """
    training_counts = np.zeros(len(task.documents))
    for documents in (learned or task).list_attracted(train):
        training_counts[documents] += 1
    return np.array([training_counts[documents].mean() for documents in task.list_answers(rows)])


def _assign_bins(mean: Float64) -> RowNumbers:
    return np.where(mean == 0, 0, 1 + np.searchsorted(BIN_EDGES, mean, side="left"))


def _bin_labels() -> list[str]:
    edges = [f"{edge:g}" for edge in BIN_EDGES]
    between = [f"{low}\N{EN DASH}{high}" for low, high in pairwise(edges)]
    return ["none", f"up to {edges[0]}", *between, f"over {edges[-1]}"]


def _build_bin(
    study: Study,
    label: str,
    totals: Float64,
    counts: Float64,
    methods: Sequence[EvaluatedMethod],
) -> JudgementBin:
    intervals = _estimate_intervals(study, totals, counts)
    rows = zip(intervals.mean, intervals.low, intervals.high, strict=True)
    gain = {
        method: (float(mean), float(low), float(high))
        for method, (mean, low, high) in zip(methods, rows, strict=True)
    }
    return JudgementBin(label, int((counts > 0).sum()), gain)
