"""Every method trained and tested on every split of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from nudge_sync.base.arrays import Float64
from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.connector.vectors import angles
from nudge_sync.errors import ConfigError, InputError
from nudge_sync.evaluate.methods import METHODS, EvaluatedMethod, TrainedMethod, train_method
from nudge_sync.evaluate.protocol import PROTOCOLS, ProtocolName, split_task
from nudge_sync.evaluate.score import score_queries
from nudge_sync.evaluate.statistics import RESAMPLES
from nudge_sync.evaluate.task import EvaluationTask, RowNumbers
from nudge_sync.metrics import MetricName


@dataclass(frozen=True, slots=True)
class StudySettings:
    """What is compared, on which splits, and how gains are tested."""

    methods: tuple[EvaluatedMethod, ...] = METHODS
    protocols: tuple[ProtocolName, ...] = PROTOCOLS
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    metric: MetricName = "ndcg@10"
    """What methods choose their settings by, and what gains are tested by."""
    confidence: float = 0.95
    """Of the intervals."""
    resamples: int = RESAMPLES
    """Of the bootstrap and of the permutation test."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One method on one split."""

    protocol: ProtocolName
    seed: int
    method: EvaluatedMethod
    tests: Mapping[str, tuple[RowNumbers, Float64]]
    """Name of a test part -> its query rows, and what each scores: (rows, metrics)."""
    angles: Float64
    """How far each document that moved turned, in radians."""
    parameters: dict[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Study:
    """All trials of a task."""

    task: EvaluationTask
    settings: StudySettings
    baseline: Float64
    """(q, metrics): what each query scores with the vectors as they are."""
    trials: list[Trial] = field(default_factory=list)

    def select_trials(self, protocol: ProtocolName, method: EvaluatedMethod) -> list[Trial]:
        """Return the trials of a method under a protocol, in the order of the seeds."""
        return [
            trial for trial in self.trials if (trial.protocol, trial.method) == (protocol, method)
        ]

    def part_names(self, protocol: ProtocolName) -> list[str]:
        """Return the names of a protocol's test parts."""
        return list(next(trial for trial in self.trials if trial.protocol == protocol).tests)

    def sum_gains(
        self, protocol: ProtocolName, part: str, method: EvaluatedMethod
    ) -> tuple[Float64, Float64]:
        """Sum the gain of each query of the task over the seeds that test it.

        Returns the sums, (q, metrics), and the number of such seeds, (q,).
        """
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
    """Leave out the methods and protocols that this task does not allow, each with a note.

    NUDGE-M needs the dot product: it changes the lengths of vectors, and a cosine ignores them. A
    protocol needs enough queries for each of its parts.
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
            split_task(task, protocol, seed)
    except InputError as error:
        return str(error)
    return None


def run_study(
    task: EvaluationTask, settings: StudySettings, progress: Progress = ignore_progress
) -> Study:
    """Train and test every method on every split; the result is the same each time.

    Only the seconds differ. Raises InputError where the task is too small for a protocol.
    """
    splits = [
        (protocol, seed, split_task(task, protocol, seed))
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
        turned = angles(task.documents[trained.moved], trained.documents[trained.moved])
        study.trials.append(
            Trial(protocol, seed, method, tests, turned, trained.parameters, trained.seconds)
        )
    progress("evaluate", len(jobs), len(jobs))
    return study


def _score_trained(study: Study, trained: TrainedMethod, rows: RowNumbers) -> Float64:
    """Score the queries `rows`; the baseline is the answer where training changed nothing."""
    same_queries = trained.queries is study.task.queries
    if same_queries and not len(trained.moved):
        return study.baseline[rows]
    return score_queries(
        trained.documents, trained.queries[rows], study.task.select_judgements(rows)
    )
