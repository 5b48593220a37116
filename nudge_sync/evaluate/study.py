"""Every method trained and tested on every split of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.connector.vectors import angles
from nudge_sync.errors import ConfigError, InputError
from nudge_sync.evaluate.methods import (
    DEFAULT_METHODS,
    EvaluatedMethod,
    TrainedMethod,
    train_method,
)
from nudge_sync.evaluate.protocol import DEFAULT_PROTOCOLS, ProtocolName, split_task
from nudge_sync.evaluate.score import RankDocuments, score_queries
from nudge_sync.evaluate.split import QuerySplit
from nudge_sync.evaluate.statistics import RESAMPLES
from nudge_sync.evaluate.task import EvaluationTask, RowNumbers
from nudge_sync.metrics import MetricName


@dataclass(frozen=True, slots=True)
class StudySettings:
    """What is compared, on which splits, and how gains are tested."""

    methods: tuple[EvaluatedMethod, ...] = DEFAULT_METHODS
    protocols: tuple[ProtocolName, ...] = DEFAULT_PROTOCOLS
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    metric: MetricName = "ndcg@10"
    """What methods choose their settings by, and what gains are tested by."""
    confidence: float = 0.95
    """Of the intervals."""
    resamples: int = RESAMPLES
    """Of the bootstrap and of the permutation test."""


@dataclass(frozen=True, slots=True)
class PartScores:
    """What the queries of a test part score."""

    rows: RowNumbers
    """Of the task's queries."""
    values: Float64
    """(rows, metrics)."""
    baseline: Float64
    """(rows, metrics): with the vectors as they are."""

    @property
    def gains(self) -> Float64:
        """What each query gains over the vectors as they are, (rows, metrics)."""
        return self.values - self.baseline


@dataclass(frozen=True, slots=True)
class Trial:
    """One method on one split."""

    protocol: ProtocolName
    seed: int
    condition: str
    """What sets the split apart from the others of its protocol and seed; "" where it is alone."""
    method: EvaluatedMethod
    tests: Mapping[str, PartScores]
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

    def select_trials(
        self, protocol: ProtocolName, method: EvaluatedMethod, part: str
    ) -> list[Trial]:
        """Return the trials of a method that have a test part, in the order of the seeds."""
        return [
            trial
            for trial in self.trials
            if (trial.protocol, trial.method) == (protocol, method) and part in trial.tests
        ]

    def part_names(self, protocol: ProtocolName) -> list[str]:
        """Return the names of a protocol's test parts."""
        trials = (trial for trial in self.trials if trial.protocol == protocol)
        return list(dict.fromkeys(name for trial in trials for name in trial.tests))

    def find_split(self, trial: Trial) -> QuerySplit:
        """Return the split that a trial was made on."""
        splits = split_task(self.task, trial.protocol, trial.seed)
        return next(split for split in splits if split.condition == trial.condition)

    def sum_gains(
        self, protocol: ProtocolName, part: str, method: EvaluatedMethod
    ) -> tuple[Float64, Float64]:
        """Sum the gain of each query of the task over the seeds that test it.

        Returns the sums, (q, metrics), and the number of such seeds, (q,).
        """
        totals = np.zeros_like(self.baseline)
        counts = np.zeros(len(self.baseline))
        for trial in self.select_trials(protocol, method, part):
            scores = trial.tests[part]
            totals[scores.rows] += scores.gains
            counts[scores.rows] += 1
        return totals, counts

    def score_part(
        self,
        split: QuerySplit,
        part: str,
        documents: Float32,
        queries: Float32,
        rank: RankDocuments | None = None,
    ) -> Float64:
        """Return what the queries of a test part score: (rows, metrics).

        documents: (n, d).  queries: (q, d), all of the task's.  rank: see `RankDocuments`.
        """
        rows = split.tests[part]
        is_baseline = documents is self.task.documents and queries is self.task.queries
        if is_baseline and rank is None and part not in split.counted:
            return self.baseline[rows]
        return score_queries(
            documents,
            queries[rows],
            self.task.select_judgements(rows),
            split.counted.get(part),
            rank,
        )


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
    question_count = len(np.unique(task.number_questions()))
    if question_count < len(task.queries):
        notes.append(
            f"{len(task.queries)} queries ask {question_count} different questions: one that is "
            "asked often is one observation, and stays on one side of each split but that by time"
        )
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
        (protocol, seed, split)
        for protocol in settings.protocols
        for seed in list_seeds(protocol, settings)
        for split in split_task(task, protocol, seed)
    ]
    jobs = list(product(splits, settings.methods))
    study = Study(task, settings, score_queries(task.documents, task.queries, task.judgements))
    for index, ((protocol, seed, split), method) in enumerate(jobs):
        progress("evaluate", index, len(jobs))
        trained = train_method(task, split, method, settings.metric, seed)
        tests = {part: _score_trained(study, trained, split, part) for part in split.tests}
        # A baseline may have added a column to the documents.
        after = trained.documents[trained.moved, : task.documents.shape[1]]
        turned = angles(task.documents[trained.moved], after)
        study.trials.append(
            Trial(
                protocol,
                seed,
                split.condition,
                method,
                tests,
                turned,
                trained.parameters,
                trained.seconds,
            )
        )
    progress("evaluate", len(jobs), len(jobs))
    return study


def list_seeds(protocol: ProtocolName, settings: StudySettings) -> tuple[int, ...]:
    """Return the seeds that a protocol is run with: one where all would give the same split."""
    return settings.seeds[:1] if protocol == "time" else settings.seeds


def _score_trained(
    study: Study, trained: TrainedMethod, split: QuerySplit, part: str
) -> PartScores:
    """Score a test part; the baseline is the answer where training changed nothing."""
    task, rows = study.task, split.tests[part]
    baseline = study.score_part(split, part, task.documents, task.queries)
    if trained.queries is task.queries and not len(trained.moved) and trained.rank is None:
        return PartScores(rows, baseline, baseline)
    values = study.score_part(split, part, trained.documents, trained.queries, trained.rank)
    return PartScores(rows, values, baseline)
