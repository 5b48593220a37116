"""What a gain goes with: the angle, and how much was known about the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, pairwise

import numpy as np

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import MethodName
from nudge_sync.evaluate.methods import EvaluatedMethod, moved
from nudge_sync.evaluate.protocol import Split, split
from nudge_sync.evaluate.score import METRICS, score
from nudge_sync.evaluate.statistics import bootstrap_intervals
from nudge_sync.evaluate.study import Float64, Study
from nudge_sync.evaluate.task import Grades, Rows, Task

TURNING: tuple[MethodName, ...] = ("nudge-n", "nudge-c")
"""The methods that take a fixed angle."""
CURVE_SEEDS = 2
"""The seeds that a curve is drawn from: each angle of each seed is a training of its own."""
ANGLES = tuple(np.radians([2, 5, 8, 12, 16, 20, 25, 30, 35, 40, 50, 60]).tolist())
EDGES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
FEWEST = 5
_SEED = 20250424


@dataclass(frozen=True, slots=True)
class Points:
    """Mean gains with their intervals: one entry an angle, or a bin."""

    mean: Float64
    low: Float64
    high: Float64


@dataclass(frozen=True, slots=True)
class Curve:
    """Gain against a fixed angle, on the test queries of the first protocol."""

    method: MethodName
    angles: tuple[float, ...]
    """Radians."""
    gain: Points
    chosen: tuple[float, ...]
    """The angle that the validation queries of each seed chose, where the method says so."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The test queries whose answers were judged so often."""

    label: str
    queries: int
    gain: dict[EvaluatedMethod, tuple[float, float, float]]
    """Mean, low, high."""


def curves(study: Study, progress: Progress = ignore_progress) -> list[Curve]:
    """Gain against the angle, for the methods of the study that have one."""
    wanted = [method for method in TURNING if method in study.settings.methods]
    seeds = study.settings.seeds[:CURVE_SEEDS]
    done = count(1)
    steps = len(wanted) * len(seeds) * len(ANGLES)
    progress("angles", 0, steps)
    return [
        _curve(study, method, seeds, lambda: progress("angles", next(done), steps))
        for method in wanted
    ]


def _curve(
    study: Study, method: MethodName, seeds: Sequence[int], stepped: Callable[[], None]
) -> Curve:
    protocol = study.settings.protocols[0]
    part = study.parts(protocol)[0]
    totals = np.zeros((len(study.base), len(ANGLES)))
    counts = np.zeros(len(study.base))
    for seed in seeds:
        parts = split(study.task, protocol, seed)
        rows = parts.tests[part]
        counts[rows] += 1
        for place, angle in enumerate(ANGLES):
            totals[rows, place] += _gain(study, parts, rows, method, angle)
            stepped()
    chosen = [
        trial.parameters.get("angle", trial.parameters.get("cap"))
        for trial in study.of(protocol, method)
    ]
    return Curve(
        method,
        ANGLES,
        _points(study, totals, counts),
        tuple(float(angle) for angle in chosen if angle is not None),
    )


def _gain(study: Study, parts: Split, rows: Rows, method: MethodName, angle: float) -> Float64:
    column = METRICS.index(study.settings.metric)
    trained = moved(study.task, parts, method, study.settings.metric, angle)
    reached = score(trained.documents, trained.queries[rows], study.task.grades(rows))
    gained: Float64 = reached[:, column] - study.base[rows, column]
    return gained


def _points(study: Study, totals: Float64, counts: Float64) -> Points:
    rows = np.flatnonzero(counts)
    low, high = bootstrap_intervals(
        totals[rows],
        counts[rows],
        rng=np.random.default_rng(_SEED),
        confidence=study.settings.confidence,
        resamples=study.settings.resamples,
    )
    return Points(totals.sum(axis=0) / counts.sum(), low, high)


def by_evidence(study: Study) -> list[Bin]:
    """Gain by the mean number of training queries that each answer of a test query has.

    Of the first protocol and its first test part. Bins with fewer than `FEWEST` queries are left
    out: an interval of two observations says nothing.
    """
    protocol = study.settings.protocols[0]
    part = study.parts(protocol)[0]
    methods = [method for method in study.settings.methods if method != "nothing"]
    column = METRICS.index(study.settings.metric)
    totals = np.zeros((len(EDGES) + 2, len(study.base), len(methods)))
    counts = np.zeros((len(EDGES) + 2, len(study.base)))
    for number, seed in enumerate(study.settings.seeds):
        parts = split(study.task, protocol, seed)
        rows = parts.tests[part]
        place = _bins(known(study.task, parts.train, rows))
        counts[place, rows] += 1
        for index, method in enumerate(methods):
            values = study.of(protocol, method)[number].tests[part][1]
            totals[place, rows, index] += values[:, column] - study.base[rows, column]
    return [
        _bin(study, label, totals[place], counts[place], methods)
        for place, label in enumerate(_labels())
        if np.count_nonzero(counts[place]) >= FEWEST
    ]


def known(task: Task, train: Rows, rows: Rows) -> Float64:
    """For each of the queries `rows`: how many training queries each answer has, on average."""
    judged = np.zeros(len(task.documents))
    for grades in task.grades(train):
        judged[_answers(grades)] += 1
    return np.array([judged[_answers(grades)].mean() for grades in task.grades(rows)])


def _answers(grades: Grades) -> list[int]:
    return [row for row, grade in grades.items() if grade > 0]


def _bins(mean: Float64) -> Rows:
    return np.where(mean == 0, 0, 1 + np.searchsorted(EDGES, mean, side="left"))


def _labels() -> list[str]:
    edges = [f"{edge:g}" for edge in EDGES]
    between = [f"{low}\N{EN DASH}{high}" for low, high in pairwise(edges)]
    return ["none", f"up to {edges[0]}", *between, f"over {edges[-1]}"]


def _bin(
    study: Study,
    label: str,
    totals: Float64,
    counts: Float64,
    methods: Sequence[EvaluatedMethod],
) -> Bin:
    points = _points(study, totals, counts)
    rows = zip(points.mean, points.low, points.high, strict=True)
    gain = {
        method: (float(mean), float(low), float(high))
        for method, (mean, low, high) in zip(methods, rows, strict=True)
    }
    return Bin(label, int((counts > 0).sum()), gain)
