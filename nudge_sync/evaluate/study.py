"""Every method on every split of a task, and what that says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from nudge_sync.base.arrays import Float64
from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import MetricName
from nudge_sync.errors import ConfigError, InputError
from nudge_sync.evaluate.methods import (
    METHODS,
    EvaluatedMethod,
    TrainedMethod,
    row_angles,
    train_method,
)
from nudge_sync.evaluate.protocol import PROTOCOLS, ProtocolName, split_queries
from nudge_sync.evaluate.score import score_queries
from nudge_sync.evaluate.statistics import RESAMPLES
from nudge_sync.evaluate.task import EvaluationTask, RowNumbers


@dataclass(frozen=True, slots=True)
class StudySettings:
    """What is compared, how, and how often."""

    methods: tuple[EvaluatedMethod, ...] = METHODS
    protocols: tuple[ProtocolName, ...] = PROTOCOLS
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    metric: MetricName = "ndcg@10"
    """What methods choose by, and what gains are tested by."""
    confidence: float = 0.95
    resamples: int = RESAMPLES


@dataclass(frozen=True, slots=True)
class Trial:
    """One method on one split."""

    protocol: ProtocolName
    seed: int
    method: EvaluatedMethod
    tests: Mapping[str, tuple[RowNumbers, Float64]]
    """Part -> query rows and their values, (rows, metrics)."""
    angles: Float64
    """How far each moved document turned, radians."""
    parameters: dict[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Study:
    """All trials of a task. `base` is what the vectors as they are reach: (q, metrics)."""

    task: EvaluationTask
    settings: StudySettings
    baseline: Float64
    trials: list[Trial] = field(default_factory=list)

    def select_trials(self, protocol: ProtocolName, method: EvaluatedMethod) -> list[Trial]:
        """The trials of a method under a protocol, by seed."""
        return [
            trial for trial in self.trials if (trial.protocol, trial.method) == (protocol, method)
        ]

    def part_names(self, protocol: ProtocolName) -> list[str]:
        """The names of a protocol's test parts."""
        return list(next(trial for trial in self.trials if trial.protocol == protocol).tests)

    def sum_gains(
        self, protocol: ProtocolName, part: str, method: EvaluatedMethod
    ) -> tuple[Float64, Float64]:
        """Per query of the task its gain summed over seeds, (q, metrics), and how many seeds."""
        totals = np.zeros_like(self.baseline)
        counts = np.zeros(len(self.baseline))
        for trial in self.select_trials(protocol, method):
            rows, values = trial.tests[part]
            totals[rows] += values - self.baseline[rows]
            counts[rows] += 1
        return totals, counts


def restrict_settings(
    task: EvaluationTask, settings: StudySettings
) -> tuple[EvaluationTask, StudySettings]:
    """The same without what cannot be done with this task, each with a note that says why.

    NUDGE-M needs dot product: its vectors are not of unit length, and a cosine takes the length
    off again. A protocol needs enough queries for every part.
    Raises InputError where no protocol is left, ConfigError where no method is.
    """
    methods, notes = settings.methods, list(task.notes)
    if task.similarity == "cosine" and "nudge-m" in methods:
        methods = tuple(method for method in methods if method != "nudge-m")
        notes.append("nudge-m was left out: it needs dot product as the similarity")
    if not methods:
        raise ConfigError("nudge-m needs dot product as the similarity, not cosine")
    refused = {protocol: _find_refusal(task, protocol, settings) for protocol in settings.protocols}
    protocols = tuple(protocol for protocol, reason in refused.items() if reason is None)
    reasons = [
        f"{protocol} was left out: {reason}" for protocol, reason in refused.items() if reason
    ]
    if not protocols:
        raise InputError("; ".join(reasons))
    noted_task = replace(task, notes=(*notes, *reasons))
    return noted_task, replace(settings, methods=methods, protocols=protocols)


def _find_refusal(
    task: EvaluationTask, protocol: ProtocolName, settings: StudySettings
) -> str | None:
    try:
        for seed in settings.seeds:
            split_queries(task, protocol, seed)
    except InputError as error:
        return str(error)
    return None


def run_study(
    task: EvaluationTask, settings: StudySettings, progress: Progress = ignore_progress
) -> Study:
    """The study of `task`; deterministic, but for the seconds.

    Raises InputError where the task is too small for a protocol.
    """
    splits = [
        (protocol, seed, split_queries(task, protocol, seed))
        for protocol in settings.protocols
        for seed in settings.seeds
    ]
    jobs = list(product(splits, settings.methods))
    study = Study(task, settings, score_queries(task.documents, task.queries, task.judgements))
    for index, ((protocol, seed, parts), method) in enumerate(jobs):
        progress("evaluate", index, len(jobs))
        trained = train_method(task, parts, method, settings.metric, seed)
        tests = {
            name: (rows, _score_trained(study, trained, rows)) for name, rows in parts.tests.items()
        }
        angles = row_angles(task.documents, trained.documents, trained.moved)
        study.trials.append(
            Trial(protocol, seed, method, tests, angles, trained.parameters, trained.seconds)
        )
    progress("evaluate", len(jobs), len(jobs))
    return study


def _score_trained(study: Study, trained: TrainedMethod, rows: RowNumbers) -> Float64:
    """What the trained documents and queries reach on `rows`; known already if nothing changed."""
    same_queries = trained.queries is study.task.queries
    if same_queries and not len(trained.moved):
        return study.baseline[rows]
    return score_queries(
        trained.documents, trained.queries[rows], study.task.select_judgements(rows)
    )
